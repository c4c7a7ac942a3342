# retire.sh DIRECTORY NAME...: removes releases, but not the one that `current` is. Each is first renamed out of sight.
cd "$1/releases" 2>/dev/null || exit 0
shift
now=$(readlink ../current 2>/dev/null)
rm -rf .old-* .*.dhow-*
for name do
  [ "$now" != "releases/$name" ] || continue
  rm -f ".same-$name" ".same-$name.new"
  [ ! -e "$name" ] || mv "$name" ".old-$name" || exit 1
done
rm -rf .old-*
