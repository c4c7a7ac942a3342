# Runs one command at a place, in any POSIX sh. Set before: M mark, HOME_DIR, LOCK, EPOCH, ROLLOUT, OWNER, SEQ, WAIT,
# LIMIT, MODE, LEN, DIR, VARS (lines that set its variables), CHILD, and the command as "$@". Standard input: LEN bytes for the command, and then nothing
# until its end: when it closes, nobody waits for the command any more, and it is ended.
say() { printf '\n%s %s\n' "$M" "$*" >&2; }
both() { say "$@"; printf '\n%s %s\n' "$M" "$*"; }
refuse() { say "$@"; [ -z "$waiter" ] || kill "$waiter" 2>/dev/null; exit 0; }
pause() { sleep 0.1 2>/dev/null || sleep 1; }

# The processes that carry a mark.
marked() {
  for found in $(grep -lsF "DHOW_RUN=$1" /proc/[0-9]*/environ 2>/dev/null); do
    found=${found#/proc/}
    printf '%s ' "${found%/environ}"
  done
}

# When a process started, in ticks since the machine did: its number may be another's by now.
started() {
  read -r stat <"/proc/$1/stat" || return 0
  # shellcheck disable=SC2086
  set -- ${stat##*) }
  echo "${20}"
} 2>/dev/null

# Ends a process group and all that carries the mark: asked first, forced after 3 s. A group whose leader is another's
# is let alone.
end() {
  turn=0 sure=no
  [ "$(started "$1")" != "$3" ] || sure=yes
  while left=$(marked "$2"); [ -n "$left" ] || { [ "$sure" = yes ] && kill -0 "-$1"; }; do
    sure=yes
    case $turn in
      0) kill -TERM "-$1"; [ -z "$left" ] || kill -TERM $left ;;
      3?) kill -KILL "-$1"; [ -z "$left" ] || kill -KILL $left ;;
      5?) [ -z "$left" ]; return ;;
    esac
    turn=$((turn + 1))
    pause
  done
} 2>/dev/null

# What the lock's file says: who was the last, and what runs.
seen() {
  r_epoch=0 r_rollout=0 r_owner= r_seq=0 r_group=- r_start=- r_mark=-
  [ ! -s "$L" ] || read -r r_epoch r_rollout r_owner r_seq r_group r_start r_mark <"$L"
}

fence() {
  [ "$r_epoch" -le "$EPOCH" ] || refuse fenced "$r_epoch"
  # A command that was given up, and arrives after its successor.
  [ "$r_owner" != "$OWNER" ] || [ "$r_seq" -lt "$SEQ" ] || refuse stale
}

# An older command is ended: one of a lower epoch, or of the very Dhow that asks and gave it up.
supersede() {
  [ "$r_mark" != - ] || return 0
  [ "$r_epoch" -lt "$EPOCH" ] || [ "$r_owner" = "$OWNER" ] || [ "$1" = free ] || return 0
  end "$r_group" "$r_mark" "$r_start" || refuse stuck "$r_group"
}

take() {
  L=$HOME_DIR/locks/$LOCK
  problem=$({ : >>"$L.lock"; } 2>&1) || refuse refused "$problem"
  exec 9>>"$L.lock"
  (exec 9>&- >/dev/null 2>&1; read -r _ <&3; kill -TERM $$) &
  waiter=$!
  until=$(($(date +%s) + WAIT))
  until flock -n 9; do
    seen
    fence
    [ "$(date +%s)" -lt "$until" ] || refuse busy "$r_rollout" "$r_epoch"
    supersede held 9>&-
    pause 9>&-
  done
  seen
  fence
  supersede free
  { kill "$waiter"; wait "$waiter"; } 2>/dev/null
  R="$EPOCH $ROLLOUT $OWNER $SEQ"
  problem=$({ printf '%s - - -\n' "$R" >"$L.new" && mv -f "$L.new" "$L"; } 2>&1) || refuse refused "$problem"
  # An epoch that is taken over must outlive the machine's crash.
  [ "$r_epoch" = "$EPOCH" ] || sync "$L" 2>/dev/null || sync
}

waiter=
LC_ALL=C
umask 077
PATH=${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
: "${HOME:=/}" "${DIR:=$HOME}"
export LC_ALL PATH HOME
HOME_DIR=${HOME_DIR:-${HOME%/}/.dhow}
missing=
for tool in cat date env grep head mkdir mv rm setsid sleep wc ${LOCK:+flock sync} ${FIFO:+mkfifo}; do
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] || refuse missing "$missing"
[ -d "$HOME_DIR/run" ] && [ -d "$HOME_DIR/locks" ] || problem=$(mkdir -p "$HOME_DIR/run" "$HOME_DIR/locks" 2>&1) ||
  refuse refused "$problem"
exec 3<&0 </dev/null
L= R=
in=$HOME_DIR/run/${M#dhow-}
case $MODE in
  whole)
    problem=$({ head -c "$LEN" <&3 >"$in"; } 2>&1) || { rm -f "$in"; refuse refused "$problem"; }
    exec 4<"$in"
    size=$(wc -c <"$in")
    rm -f "$in"
    [ "$size" -eq "$LEN" ] || exit 0
    ;;
  stream) problem=$(mkfifo "$in" 2>&1) || refuse refused "$problem" ;;
  *) exec 4</dev/null ;;
esac
[ -z "$LOCK" ] || take

both began
case $MODE in
  stream)
    M=$M L=$L R=$R DIR=$DIR V=${VARS:+yes} DHOW_RUN=$M setsid sh -c "$CHILD" dhow "$@" <"$in" 3<&- 8<<VARS &
$VARS
VARS
    ;;
  *)
    M=$M L=$L R=$R DIR=$DIR V=${VARS:+yes} DHOW_RUN=$M setsid sh -c "$CHILD" dhow "$@" <&4 3<&- 4<&- 8<<VARS &
$VARS
VARS
    ;;
esac
command=$!
(
  exec 9>&- 4<&- >/dev/null 2>&1
  [ "$MODE" != stream ] || head -c "$LEN" <&3 >"$in"
  read -r _ <&3
  trap '' TERM
  end "$command" "$M" "$(started "$command")"
  exit 7
) &
leash=$!
(
  exec 9>&- 3<&- 4<&- >/dev/null 2>&1
  slept=
  trap 'kill $slept; exit 0' TERM
  sleep "$LIMIT" &
  slept=$!
  wait "$slept"
  trap '' TERM
  end "$command" "$M" "$(started "$command")"
  exit 8
) &
timer=$!
{
  wait "$command"
  code=$?
  kill "$leash" "$timer"
  wait "$leash"
  [ "$?" -ne 7 ] || why=leash
  wait "$timer"
  [ "$?" -ne 8 ] || why=time
  # What it left in its group goes with it.
  if kill -TERM "-$command"; then
    turn=0
    while kill -0 "-$command" && [ "$turn" -lt 40 ]; do
      [ "$turn" -ne 30 ] || kill -KILL "-$command"
      turn=$((turn + 1))
      pause
    done
  fi
  [ "$MODE" != stream ] || rm -f "$in"
  [ -z "$LOCK" ] || { printf '%s - - -\n' "$R" >"$L.new" && mv -f "$L.new" "$L"; }
} 2>/dev/null
both end "$code" "${why:-itself}"
exit 0
