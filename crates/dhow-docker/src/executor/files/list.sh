# list.sh FOLDER: the names in it, each ended by a NUL; 66 where there is no such folder.
if ! cd "$1" 2>/dev/null; then
  problem=$(LC_ALL=C ls -d "$1/" 2>&1)
  case $problem in *"No such file"*) exit 66 ;; esac
  echo "$problem" >&2
  exit 1
fi
for name in .[!.]* ..?* *; do
  [ ! -e "$name" ] && [ ! -L "$name" ] || printf '%s\000' "$name"
done
