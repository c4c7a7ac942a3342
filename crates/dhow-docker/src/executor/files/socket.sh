# socket.sh PATH: whether the user may use it; 66 where there is none.
[ -S "$1" ] || exit 66
[ -r "$1" ] && [ -w "$1" ] || printf denied
