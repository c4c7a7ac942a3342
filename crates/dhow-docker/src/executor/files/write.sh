# write.sh PATH MODE SIZE: standard input as the file, by one rename.
[ ! -d "$1" ] || { echo "it is a folder" >&2; exit 1; }
folder=${1%/*}/
mkdir -p "$folder" || exit 1
new=$folder.${1##*/}.dhow-$$
find "$folder" -maxdepth 1 -name ".${1##*/}.dhow-*" -mmin +60 -exec rm -rf {} + 2>/dev/null
umask 077
cat >"$new" && [ "$(wc -c <"$new")" -eq "$3" ] && chmod "$2" "$new" &&
  { sync "$new" 2>/dev/null || sync; } && mv -f "$new" "$1" && { sync "$folder" 2>/dev/null || sync; } && exit 0
rm -f "$new"
exit 1
