# compare.sh FOLDER COUNT: 0 where the folder holds exactly the files of the manifest on standard input, "HASH  ./PATH" a
# line, and then `.same-NAME` beside it is as old as the look; 66 where not, with how many there are and the first that differ; 69: a program is missing.
missing=
for tool in find sha256sum grep head wc; do command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"; done
[ -z "$missing" ] || { echo "$missing" >&2; exit 69; }
manifest=$(cat)
same=${1%/*}/.same-${1##*/}
touch "$same.new" 2>/dev/null
cd "$1" 2>/dev/null || { echo 0; exit 66; }
found=$(find . ! -type d 2>/dev/null | wc -l | tr -cd 0-9)
if printf '%s\n' "$manifest" | sha256sum -c >/dev/null 2>&1; then
  if [ "$found" = "$2" ]; then
    mv -f "$same.new" "$same" 2>/dev/null
    exit 0
  fi
  rm -f "$same" "$same.new"
  echo "$found"
  exit 66
fi
rm -f "$same" "$same.new"
echo "$found"
printf '%s\n' "$manifest" | sha256sum -c 2>/dev/null | grep -v ': OK$' | head -n 4
exit 66
