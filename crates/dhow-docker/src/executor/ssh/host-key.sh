# host-key.sh WANTED NOTE WHY FINGERPRINT HOST TYPE KEY: asked by ssh which keys are known for a host. Notes the key that
# the host shows, and knows it where its fingerprint is the wanted one.
[ "$3" = HOSTNAME ] || exit 0
printf '%s %s %s %s\n' "$4" "$5" "$6" "$7" >"$2"
[ "$1" != "$4" ] || printf '%s %s %s\n' "$5" "$6" "$7"
exit 0
