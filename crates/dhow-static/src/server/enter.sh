# enter.sh DIRECTORY NOTES: the folders are there, nothing half is in them, and the directory is the last one in the notes.
# Prints the folders on the way that are closed to others.
mkdir -p "$1/releases" "${2%/*}" || exit 1
rm -rf "$1"/releases/.*.dhow-* "$1"/releases/.old-* "$1/.current.dhow"
at=$1/releases
while [ -n "$at" ]; do
  case $(ls -ld "$at/." 2>/dev/null) in d????????[xt]*) ;; d*) echo "$at" ;; esac
  at=${at%/*}
done
[ "$(tail -n 1 "$2" 2>/dev/null)" != "$1" ] || exit 0
{ grep -vxF -e "$1" "$2" 2>/dev/null; printf '%s\n' "$1"; } >"$2.new" && mv -f "$2.new" "$2" || exit 1
sync "$2" 2>/dev/null || sync
