/* explain_page.c - the HTML of sumi explain: one file with its pictures in it, for a large screen and a telephone, in
 * light and in dark. */
#include "base/base64.h"
#include "cli/explain.h"
#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1d1d1f;--soft:#5c5c62;--paper:#fff;--card:#f3f3f5;--line:#dcdce0}"
    "@media(prefers-color-scheme:dark){:root{--ink:#ececf0;--soft:#a3a3ab;--paper:#161618;--card:#222226;--line:#"
    "3a3a40}}"
    "*{box-sizing:border-box}"
    "body{font:16px/1.55 system-ui,sans-serif;max-width:72rem;margin:0 auto;padding:1.5rem 1rem 4rem;color:var(--ink);"
    "background:var(--paper)}"
    "h1{line-height:1.2;overflow-wrap:anywhere}h2{margin:2.6rem 0 .3rem}p{margin:.3rem 0 .9rem;max-width:46rem}"
    "p.about,figcaption,.id{color:var(--soft)}code{font-size:.92em}"
    ".row{display:flex;flex-wrap:wrap;gap:.8rem;align-items:flex-start}.whole{flex:1 0 100%}"
    "figure{margin:0;max-width:100%;background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;overflow:hidden}"
    "img{display:block;max-width:100%;height:auto;image-rendering:pixelated}"
    "figcaption{font-size:.8rem;line-height:1.4;padding:.35rem .5rem;font-variant-numeric:tabular-nums}"
    ".token{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.15rem .5rem;white-space:pre}"
    ".id{display:block;font-size:.75rem}"
    "table{display:block;overflow-x:auto;border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.2rem .6rem;text-align:right;"
    "border-bottom:1px solid var(--line)}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--card);border:1px solid "
    "var(--line);border-radius:8px;"
    "padding:.7rem}";

void page_text(FILE *to, const char *text)
{
	for (; *text; text++)
		if (strchr("<>&\"", *text))
			fprintf(to, "&#%d;", *text);
		else
			putc(*text, to);
}

void page_begin(page *y)
{
	int width, height;
	sumi_model_size(y->model, &width, &height);
	fprintf(y->to,
	    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
	    "content=\"width=device-width,initial-scale=1\"><title>How a picture comes "
	    "about</title><style>%s</style></head>"
	    "<body>\n<h1>",
	    style);
	page_text(y->to, y->s->prompt);
	fprintf(y->to,
	    "</h1><p class=\"about\">%s, %d×%d pixels, seed %lld, %lld steps. Drawn by Sumi %s. Files named here are of "
	    "its "
	    "source.</p>\n",
	    sumi_model_family(y->model), width, height, y->s->seed, y->s->steps, sumi_version());
}

void page_end(page *y, const char *parameters)
{
	if (parameters) {
		fputs("<h2>How to draw it again</h2>\n<p><code>sumi generate --from</code> reads this text from the picture "
		      "(<code>src/pipeline/describe.c</code>).</p>\n<pre>",
		    y->to);
		page_text(y->to, parameters);
		fputs("</pre>\n", y->to);
	}
	fputs("</body></html>\n", y->to);
}

void page_row(page *y, const char *title, const char *text)
{
	fprintf(y->to, "<h2>%s</h2>\n<p>%s</p>\n<div class=\"row\">\n", title, text);
}

void page_row_end(page *y) { fputs("</div>\n", y->to); }

void page_figure(page *y, const sumi_image *p, int width, const char *caption)
{
	unsigned char *bytes = NULL;
	size_t n = 0;
	if (!p) return;
	sumi_image plain = {
		.size = sizeof plain, .width = p->width, .height = p->height, .pixels = p->pixels, .seed = -1
	};
	if (!sumi_image_encode(&plain, "webp", 90, &bytes, &n, y->e)) return;
	char *text = base64_encode(bytes, n);
	sumi_free(bytes);
	if (!text) {
		*y->e = (sumi_error){ SUMI_NO_MEMORY, "out of memory for the page" };
		return;
	}
	fprintf(y->to, "<figure style=\"width:%dpx\"><img src=\"data:image/webp;base64,%s\" width=\"%d\" alt=\"", width,
	    text, width);
	free(text);
	page_text(y->to, caption);
	fputs("\"><figcaption>", y->to);
	page_text(y->to, caption);
	fputs("</figcaption></figure>\n", y->to);
}
