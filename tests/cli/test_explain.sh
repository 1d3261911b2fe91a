# test_explain.sh - sumi explain: one page that needs nothing else, with all its pictures.
. "$(dirname "$0")/lib.sh"
export SUMI_MODEL="$unit_pictures/../../../models/emoji.safetensors"

expect 0 'page.html' explain 'smiling <cat> & "dog"' --steps 5 -q -o page.html
[ "$(grep -c '<img src="data:image/webp;base64,' page.html)" -ge 17 ] || wrong "pictures are missing"
grep -q 'smiling &#60;cat&#62; &#38; &#34;dog&#34;' page.html || wrong "words are not escaped"
grep -qE '(src|href)="[^d]' page.html && wrong "the page needs other files"
for part in 'From noise to picture' 'What guidance does' 'How much survives noise' 'What the autoencoder loses' 'Steps: 5'; do
	grep -q "$part" page.html || wrong "no $part in the page"
done
expect 0 '' explain 'smiling <cat> & "dog"' --steps 5 -q -o again.html
same page.html again.html
expect 2 'no prompt' explain -o x.html
expect 2 'at least\|between' explain x --steps 2 -o x.html
expect 3 'no-such-model' explain x -m no-such-model -o x.html
[ ! -e x.html ] && [ ! -e x.html.part ] || wrong "a page was left"
finish
