# test_serve_schema.sh - sumi serve asked by schemathesis, where it is installed, whether openapi.json says what is so.
folder=$(cd "$(dirname "$0")/../server" && pwd)
. "$(dirname "$0")/lib.sh"
"$sumi" serve --listen x 2>&1 | grep -q 'built without' && { echo "skipped: built without libmicrohttpd"; exit 77; }
python3 -B "$folder/schema.py" "$sumi"
code=$?
[ $code = 77 ] && exit 77
[ $code = 0 ] || wrong "schema.py"
finish
