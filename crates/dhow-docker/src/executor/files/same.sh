# same.sh FOLDER COUNT [MODE COUNT]...: 0 where the folder holds exactly the files of the manifest on standard input,
# "HASH  ./PATH" a line, and as many of each mode; 66 where not. 69: a program is missing.
missing=
for tool in tar find sha256sum sync chmod; do command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"; done
[ -z "$missing" ] || { echo "$missing" >&2; exit 69; }
manifest=$(cat)
cd "$1" 2>/dev/null || exit 66
count() { wc -l | tr -cd 0-9; }
[ "$(find . ! -type d 2>/dev/null | count)" = "$2" ] || exit 66
[ "$2" = 0 ] || printf '%s\n' "$manifest" | sha256sum -c >/dev/null 2>&1 || exit 66
shift 2
while [ $# -gt 0 ]; do
  [ "$(find . -type f -perm "$1" | count)" = "$2" ] || exit 66
  shift 2
done
