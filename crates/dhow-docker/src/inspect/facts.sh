# What is there, a line each: KEY VALUE. Nothing but a shell is needed, so that what is missing can be told.
PATH=${PATH:-/usr/bin:/bin}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin
LC_ALL=C
export PATH LC_ALL
say() { printf 'dhow-fact %s %s\n' "$1" "$(printf %s "$2" | tr '\n' ' ')"; }
has() { command -v "$1" >/dev/null 2>&1; }
say started yes
say user "$(id -un 2>/dev/null)"
say kernel "$(uname -s 2>/dev/null) $(uname -m 2>/dev/null)"
for tool in cat chmod date df env find flock grep head mkdir mkfifo mv rm setsid sha256sum sleep sync tar wc; do
  has "$tool" || say missing "$tool"
done
say time "$(date +%s 2>/dev/null)"
home=${HOME%/}/.dhow
if [ -n "$here" ]; then
  : # Dhow's own folder is its state directory there.
elif problem=$(mkdir -p "$home/run" 2>&1) && problem=$( { : >"$home/run/check"; } 2>&1); then
  rm -f "$home/run/check"
else
  say home "$problem"
fi
socket=/var/run/docker.sock
case $here$DOCKER_HOST in yesunix://*) socket=${DOCKER_HOST#unix://} ;; esac
say socket-at "$socket"
if [ ! -S "$socket" ]; then say socket none; elif [ -r "$socket" ] && [ -w "$socket" ]; then say socket ok; else say socket denied; fi
if has docker; then
  limit=; has timeout && limit="timeout 10"
  say docker "$($limit docker version --format '{{.Server.Version}} {{.Server.APIVersion}} {{.Server.MinAPIVersion}}' 2>&1)"
  say compose "$($limit docker compose version --short 2>&1)"
  info=$($limit docker info --format '{{.DockerRootDir}}|{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>/dev/null)
  folder=${info%%|*}
  [ -z "$info" ] || say swarm "${info#*|}"
else
  say docker-cli none
fi
if has docker-compose; then say compose-old "$(docker-compose version --short 2>/dev/null)"; fi
modules=/lib/modules/$(uname -r 2>/dev/null)
if [ -e /proc/net/ip_vs ] || grep -qs '^ip_vs ' /proc/modules; then
  say ipvs loaded
elif grep -qs '/ip_vs\.ko' "$modules/modules.dep" "$modules/modules.builtin"; then
  say ipvs module
else
  say ipvs none
fi
[ -d "$folder" ] || folder=/var/lib/docker
[ -d "$folder" ] || folder=/
say disk "$(df -Pk "$folder" 2>/dev/null | tail -n 1)"
say inodes "$(df -Pi "$folder" 2>/dev/null | tail -n 1)"
while read -r key value _; do
  case $key in MemTotal: | MemAvailable:) say "$key" "$value" ;; esac
done 2>/dev/null </proc/meminfo
read -r load _ </proc/loadavg 2>/dev/null && say load "$load"
say processors "$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
say done yes
