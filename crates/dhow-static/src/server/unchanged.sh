# unchanged.sh RELEASES NAME COUNT: 0 where no file of the release was touched since all of them were compared. Reads no
# file. 66 where one was, or where this cannot be told.
cd "$1/$2" 2>/dev/null || exit 66
[ -e "../.same-$2" ] || exit 66
touched=$(find . -cnewer "../.same-$2" 2>/dev/null) || exit 66
[ -z "$touched" ] || exit 66
found=$(find . ! -type d 2>/dev/null | wc -l | tr -cd 0-9)
[ "$found" = "$3" ] || exit 66
