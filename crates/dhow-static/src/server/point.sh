# point.sh DIRECTORY TO [FROM]...: `current` becomes a link to TO, by one rename; it goes where TO is empty. Where some
# FROM are named, only if it is a link to one of them.
cd "$1" || exit 1
to=$2
shift 2
now=$(readlink current 2>/dev/null)
if [ -e current ] && [ ! -L current ]; then
  echo "$PWD/current is no link" >&2
  exit 67
fi
if [ $# -gt 0 ]; then
  found=
  for from do [ "$now" != "$from" ] || found=yes; done
  [ -n "$found" ] || exit 0
elif [ ! -d "$to" ]; then
  echo "there is no $PWD/$to" >&2
  exit 1
fi
if [ -z "$to" ]; then
  rm -f current || exit 1
elif [ "$now" != "$to" ]; then
  rm -f .current.dhow
  ln -s -- "$to" .current.dhow && mv -fT .current.dhow current || exit 1
fi
sync . 2>/dev/null || sync
