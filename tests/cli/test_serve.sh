# test_serve.sh - sumi serve, asked by tests/server/answers.py, and by page_requests.py what its page asks, by wire.py byte by byte.
folder=$(cd "$(dirname "$0")/../server" && pwd)
. "$(dirname "$0")/lib.sh"
python3 -c 'import http.client' 2>/dev/null || { echo "skipped: no python3, which sends the requests"; exit 77; }
"$sumi" serve --help | grep -q -e --max-queue || wrong 'sumi serve --help'
"$sumi" serve --listen x 2>&1 | grep -q 'built without' && { echo "skipped: built without libmicrohttpd"; exit 77; }
python3 -B "$folder/answers.py" "$sumi" || wrong "answers.py"
python3 -B "$folder/wire.py" "$sumi" || wrong "wire.py"
python3 -B "$folder/page_requests.py" "$sumi" || wrong "page_requests.py"
finish
