# read.sh PATH: the file's bytes; 66 where there is none.
[ ! -d "$1" ] || { echo "it is a folder" >&2; exit 1; }
[ ! -e "$1" ] || exec cat <"$1"
problem=$(LC_ALL=C ls -d "$1" 2>&1)
case $problem in *"No such file"* | *"Not a directory"*) exit 66 ;; esac
echo "$problem" >&2
exit 1
