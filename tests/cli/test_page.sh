# test_page.sh - the page of sumi serve, driven in a browser by tests/server/page.py.
page=$(cd "$(dirname "$0")/../server" && pwd)/page.py
. "$(dirname "$0")/lib.sh"
"$sumi" serve --listen x 2>&1 | grep -q 'built without' && { echo "skipped: built without libmicrohttpd"; exit 77; }
command -v python3 >/dev/null || { echo "skipped: no python3, which drives the browser"; exit 77; }
HOME=$work python3 -B "$page" "$sumi"
code=$?
[ $code -eq 77 ] && exit 77
[ $code -eq 0 ] || wrong "page.py"
finish
