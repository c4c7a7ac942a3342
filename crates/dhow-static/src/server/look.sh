# look.sh DIRECTORY: the names of the releases, a line each, and then what `current` is.
if ! cd "$1" 2>/dev/null; then
  problem=$(LC_ALL=C ls -d "$1/" 2>&1)
  case $problem in *"No such file"*) echo none; exit 0 ;; esac
  echo "$problem" >&2
  exit 1
fi
for name in releases/*; do
  [ ! -d "$name" ] || printf 'release %s\n' "${name#releases/}"
done
if [ -L current ]; then
  printf 'link %s\n' "$(readlink current)"
elif [ -e current ]; then
  echo other
else
  echo none
fi
