# test_serve.sh - sumi serve, asked by tests/server/requests.py.
requests=$(cd "$(dirname "$0")/../server" && pwd)/requests.py
. "$(dirname "$0")/lib.sh"
python3 -c 'import http.client' 2>/dev/null || { echo "skipped: no python3, which sends the requests"; exit 77; }
"$sumi" serve --help | grep -q -e --max-queue || wrong 'sumi serve --help'
"$sumi" serve --listen x 2>&1 | grep -q 'built without' && { echo "skipped: built without libmicrohttpd"; exit 77; }
python3 "$requests" "$sumi" || wrong "requests.py"
finish
