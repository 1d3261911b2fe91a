# test_serve_lists.sh - what requests to sumi serve may name, asked by tests/server/lists.py; and other programs' requests.
lists=$(cd "$(dirname "$0")/../server" && pwd)/lists.py
. "$(dirname "$0")/lib.sh"
python3 -c 'import http.client' 2>/dev/null || { echo "skipped: no python3, which sends the requests"; exit 77; }
"$sumi" serve --listen x 2>&1 | grep -q 'built without' && { echo "skipped: built without libmicrohttpd"; exit 77; }
python3 -B "$lists" "$sumi" "$golden" || wrong "lists.py"
python3 -B "$(dirname "$lists")/clients.py" "$sumi" || wrong "clients.py"
finish
