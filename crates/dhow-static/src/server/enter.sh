# enter.sh DIRECTORY NOTES OWNER: the folders are there, nothing half is in them, the directory is the last one in the
# notes, and it is the owner's, `<environment>/<service>`. 68 where it is another deployment's still, which is printed.
# Prints the folders on the way that are closed to others.
mkdir -p "$1/releases" "${2%/*}" || exit 1
owner=$(cat "$1/releases/.owner" 2>/dev/null)
if [ "$owner" != "$3" ]; then
  case $owner in
    */*) [ "$(tail -n 1 "${2%"$3"}$owner" 2>/dev/null)" != "$1" ] || { echo "$owner" >&2; exit 68; } ;;
  esac
  printf '%s\n' "$3" >"$1/releases/.owner.new" && mv -f "$1/releases/.owner.new" "$1/releases/.owner" || exit 1
fi
rm -rf "$1"/releases/.*.dhow-* "$1"/releases/.old-* "$1/.current.dhow"
at=$1/releases
while [ -n "$at" ]; do
  case $(ls -ld "$at/." 2>/dev/null) in d????????[xt]*) ;; d*) echo "$at" ;; esac
  at=${at%/*}
done
[ "$(tail -n 1 "$2" 2>/dev/null)" != "$1" ] || exit 0
{ grep -vxF -e "$1" "$2" 2>/dev/null; printf '%s\n' "$1"; } >"$2.new" && mv -f "$2.new" "$2" || exit 1
sync "$2" 2>/dev/null || sync
