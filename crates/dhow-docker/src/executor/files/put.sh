# put.sh FOLDER COUNT: standard input is a tar archive of manifest and files/; they become the folder by one rename.
parent=${1%/*}/
mkdir -p "$parent" || exit 1
work=$parent.${1##*/}.dhow-$$
find "$parent" -maxdepth 1 -name ".${1##*/}.dhow-*" -mmin +60 -exec rm -rf {} + 2>/dev/null
fail() { [ -z "$1" ] || echo "$1" >&2; rm -rf "$work"; exit 1; }
trap 'fail ""' HUP INT TERM
mkdir -m 700 "$work" || exit 1
tar -x -p -o -f - -C "$work" || fail ""
cd "$work/files" || fail ""
[ "$(find . ! -type d | wc -l | tr -cd 0-9)" = "$2" ] || fail "not all files arrived"
[ "$2" = 0 ] || sha256sum -c ../manifest >/dev/null || fail "the files did not arrive whole"
cd / || fail ""
sync -f "$work" 2>/dev/null || sync
if [ -e "$1" ] || [ -L "$1" ]; then mv "$1" "$work/old" || fail ""; fi
mv "$work/files" "$1" || { mv "$work/old" "$1" 2>/dev/null; fail ""; }
sync "$parent" 2>/dev/null || sync
rm -rf "$work"
