# remove.sh NOTES: removes what is ours from every directory in the notes, and then the notes. The directories stay.
[ -e "$1" ] || exit 0
while IFS= read -r directory; do
  cd "$directory" 2>/dev/null || continue
  case $(readlink current 2>/dev/null) in releases/*) rm -f current || exit 1 ;; esac
  cd releases 2>/dev/null || continue
  ls | grep -xE '[0-9a-f]{64}(\.mend)?' | while IFS= read -r name; do
    mv "$name" ".old-$name" || exit 1
  done || exit 1
  rm -rf .old-* .*.dhow-* || exit 1
  cd .. && rmdir releases 2>/dev/null
done <"$1"
cd / && rm -f "$1"
