# The leader of the command's own session: notes itself in the lock's file, lets go of the lock, and becomes the command.
dhow_fail() { printf '\n%s %s\n' "$M" "$*" >&2; exit 125; }
dhow_started() { read -r stat <"/proc/$$/stat" && set -- ${stat##*) } && echo "${20}"; }
if [ -n "$L" ]; then
  problem=$({ printf '%s %s %s %s\n' "$R" "$$" "$(dhow_started)" "$M" >"$L.new" && mv -f "$L.new" "$L"; } 2>&1) || dhow_fail refused "$problem"
fi
problem=$(cd "$DIR" 2>&1) || dhow_fail folder "$problem"
cd "$DIR" || exit 125
umask 022
for word do
  case $word in *=*) continue ;; esac
  command -v "$word" >/dev/null 2>&1 || dhow_fail program "$word"
  break
done
[ -n "$V" ] || exec env -i PATH="$PATH" HOME="$HOME" DHOW_RUN="$M" "$@" 8<&- 9>&-
# Values come through a pipe: everybody on the machine can read arguments.
# shellcheck disable=SC2016
exec env -i PATH="$PATH" HOME="$HOME" DHOW_RUN="$M" \
  sh -c 'unset PWD OLDPWD SHLVL _; . /dev/fd/8; exec 8<&-; exec env "$@"' dhow "$@" 9>&-
