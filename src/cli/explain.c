/* explain.c - sumi explain "PROMPT": one self-contained page that shows how a picture comes out of noise: the guesses
 * on the way, how much of a picture survives noise of five strengths, what guidance does, and what the autoencoder
 * loses. */
#include "base/base64.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
	const char *model, *prompt, *output, *sampler;
	model_settings components;
	machine_settings machine;
	long long seed, steps;
	double guidance;
	bool verbose, quiet;
} settings;
#define AT(field) offsetof(settings, field)

/* clang-format off */
static const option table[] = {
	{ .name = "prompt", .letter = 'p', .kind = TEXT, AT(prompt), .argument = "WORDS", .help = "what the picture shows" },
	{ .name = "output", .letter = 'o', .kind = TEXT, AT(output), .argument = "FILE", .standard = "explained.html",
	    .help = "the page to write" },
	{ .name = "model", .letter = 'm', .kind = TEXT, AT(model), .argument = "FILE", .help = "as for generate" },
	{ .name = "seed", .letter = 's', .kind = INTEGER, AT(seed), 0, MOST_SEED, "N", "42", "of the picture" },
	{ .name = "steps", .kind = INTEGER, AT(steps), 5, 1000, "N", "20", "denoising steps" },
	{ .name = "cfg-scale", .kind = NUMBER, AT(guidance), 0, 1000, "X", NULL, "how strongly the prompt leads (the model's)" },
	{ .name = "sampling-method", .alias = "sampler", .kind = TEXT, AT(sampler), .argument = "NAME", .help = "(the family's)" },
	MODEL_ROWS(components),
	MACHINE_ROWS(machine),
	{ .name = "verbose", .letter = 'v', .kind = FLAG, AT(verbose), .help = "print memory, kernels and times" },
	{ .name = "quiet", .letter = 'q', .kind = FLAG, AT(quiet), .help = "no progress, no notes" },
	{ .name = "help", .letter = 'h', .kind = FLAG, AT(quiet), .help = "this text" },
};
/* clang-format on */
enum { ROWS = sizeof table / sizeof *table };

/* ── the page ── */

static void put_escaped(FILE *to, const char *text)
{
	for (; *text; text++)
		if (strchr("<>&\"", *text))
			fprintf(to, "&#%d;", *text);
		else
			putc(*text, to);
}

typedef struct page {
	FILE *to;
	progress progress;
	sumi_model *model;
	sumi_error *e;
	const settings *s;
	int kept; /* the last guess that was put into the strip */
} page;

static void put_figure(page *y, const sumi_image *p, const char *caption)
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
	fprintf(y->to, "<figure><img src=\"data:image/webp;base64,%s\" width=\"%d\" alt=\"\"><figcaption>", text,
	    p->width < 160 ? 128 : 256);
	free(text);
	put_escaped(y->to, caption);
	fputs("</figcaption></figure>\n", y->to);
}

static void open_row(page *y, const char *title, const char *text)
{
	fprintf(y->to, "<h2>%s</h2>\n<p>%s</p>\n<div class=\"row\">\n", title, text);
}

/* Of two pictures of one size: the peak signal to noise ratio of their bytes. */
static double psnr(const sumi_image *a, const sumi_image *b)
{
	double sum = 0;
	size_t n = 3 * (size_t)a->width * (size_t)a->height;
	for (size_t i = 0; i < n; i++) sum += ((double)a->pixels[i] - b->pixels[i]) * ((double)a->pixels[i] - b->pixels[i]);
	return sum > 0 ? 10 * log10(255. * 255. * (double)n / sum) : INFINITY;
}

/* ── what is drawn ── */

static sumi_options options_of(page *y, const sumi_listener *l)
{
	sumi_options o = sumi_defaults();
	o.prompt = y->s->prompt;
	o.seed = y->s->seed;
	o.steps = (int)y->s->steps;
	o.guidance = y->s->guidance;
	o.sampler = y->s->sampler;
	o.listener = l;
	return o;
}

/* Ten guesses, evenly over the steps. */
static void on_preview(void *context, int index, int step, const sumi_image *picture)
{
	page *y = context;
	char caption[64];
	int place = (int)(step * 10 / y->s->steps);
	if (index || place == y->kept) return;
	y->kept = place;
	snprintf(caption, sizeof caption, "after step %d", step);
	put_figure(y, picture, caption);
}

static int on_progress(void *context, const char *stage, int step, int steps)
{
	page *y = context;
	sumi_listener l = progress_listener(&y->progress);
	return l.progress(&y->progress, stage, step, steps);
}

static sumi_image *put_strip(page *y)
{
	sumi_listener l = sumi_listener_defaults();
	l.context = y;
	l.progress = on_progress;
	l.preview = on_preview;
	sumi_options o = options_of(y, &l);
	o.preview = "decoder";
	y->kept = -1;
	open_row(y, "From noise to picture",
	    "A latent begins as noise. In each step the denoiser reads it, the time and the words, and says what of it is "
	    "noise. "
	    "What is left is its guess of the clean latent, decoded here: at first a mean of all pictures that the words "
	    "could "
	    "mean, then one of them (src/diffusion, src/models/unet.c).");
	sumi_image *made = sumi_generate(y->model, &o, y->e);
	if (made) put_figure(y, made, "the picture");
	fputs("</div>\n", y->to);
	return made;
}

static void put_strengths(page *y, const sumi_image *made)
{
	static const double strengths[] = { 0.2, 0.4, 0.6, 0.8, 1 };
	char caption[96];
	open_row(y, "How much survives noise",
	    "The picture is encoded, noised up to a share of the way, and denoised again with another seed and no words. "
	    "Low noise "
	    "takes details away, which come back otherwise; high noise takes the composition, and another picture comes "
	    "(src/pipeline/encode.c, src/diffusion/trajectory.c).");
	for (int i = 0; i < 5 && made; i++) {
		sumi_listener l = progress_listener(&y->progress);
		sumi_options o = options_of(y, &l);
		o.init = made;
		o.strength = strengths[i];
		o.seed = y->s->seed + 1;
		o.prompt = ""; /* so that what is there is the picture's own */
		o.guidance = 1;
		sumi_image *again = sumi_generate(y->model, &o, y->e);
		if (!again) break;
		snprintf(caption, sizeof caption, "strength %g: %.1f dB from the picture", strengths[i], psnr(made, again));
		put_figure(y, again, caption);
		sumi_image_free(again);
	}
	fputs("</div>\n", y->to);
}

static void put_guidance(page *y)
{
	static const double scales[] = { 1, 2, 4, 8, 16 };
	char caption[64];
	open_row(y, "What guidance does",
	    "The denoiser runs twice, with the words and without. The difference of its two answers, times the scale, is "
	    "the way to "
	    "go: 1 follows the words alone, more exaggerates what they change (src/diffusion/guidance.c).");
	for (int i = 0; i < 5; i++) {
		sumi_listener l = progress_listener(&y->progress);
		sumi_options o = options_of(y, &l);
		o.guidance = scales[i];
		sumi_image *p = sumi_generate(y->model, &o, y->e);
		if (!p) break;
		snprintf(caption, sizeof caption, "scale %g", scales[i]);
		put_figure(y, p, caption);
		sumi_image_free(p);
	}
	fputs("</div>\n", y->to);
}

/* Encoded and decoded: an image to image run of strength 0 does nothing between. */
static void put_round_trip(page *y, const sumi_image *made)
{
	char caption[96];
	if (!made) return;
	sumi_listener l = progress_listener(&y->progress);
	sumi_options o = options_of(y, &l);
	o.init = made;
	o.strength = 0;
	sumi_image *again = sumi_generate(y->model, &o, y->e),
	           *difference = again ? sumi_image_new(made->width, made->height, NULL, y->e) : NULL;
	open_row(y, "What the autoencoder loses",
	    "All of this happens in a latent, which the autoencoder makes of a picture and turns back. This is the picture "
	    "through "
	    "both, and what changed, four times as strong around grey (src/models/vae.c).");
	if (difference) {
		for (size_t i = 0; i < 3 * (size_t)made->width * (size_t)made->height; i++) {
			int d = 128 + 4 * (again->pixels[i] - made->pixels[i]);
			difference->pixels[i] = (unsigned char)(d < 0 ? 0 : d > 255 ? 255 : d);
		}
		put_figure(y, made, "before");
		snprintf(caption, sizeof caption, "after: %.1f dB", psnr(made, again));
		put_figure(y, again, caption);
		put_figure(y, difference, "4 × the difference");
	}
	fputs("</div>\n", y->to);
	sumi_image_free(again);
	sumi_image_free(difference);
}

static void put_page(page *y)
{
	int width, height;
	sumi_model_size(y->model, &width, &height);
	fputs("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" "
	      "content=\"width=device-width\">"
	      "<title>Explained</title><style>body{font:16px/1.5 sans-serif;max-width:75em;margin:2em auto;padding:0 "
	      "1em;color:#222;"
	      "background:#fff}.row{display:flex;flex-wrap:wrap;gap:.7em}figure{margin:0}img{image-rendering:pixelated;"
	      "background:#eee}figcaption{font-size:13px;color:#555}h2{margin:1.6em 0 .2em}p{margin:.2em 0 "
	      ".8em;max-width:50em}"
	      "</style>\n<h1>",
	    y->to);
	put_escaped(y->to, y->s->prompt);
	fprintf(y->to, "</h1><p>%s, %d×%d pixels, seed %lld, %lld steps. Drawn by Sumi %s.</p>\n",
	    sumi_model_family(y->model), width, height, y->s->seed, y->s->steps, sumi_version());
	sumi_image *made = put_strip(y);
	put_guidance(y);
	put_strengths(y, made);
	put_round_trip(y, made);
	if (made && made->parameters) {
		fputs("<h2>How to draw it again</h2><pre>", y->to);
		put_escaped(y->to, made->parameters);
		fputs("</pre>\n", y->to);
	}
	sumi_image_free(made);
}

int command_explain(int argc, char **argv)
{
	settings s = { .guidance = -1 };
	text_list words = { 0 };
	char path[4096], temporary[4200];
	if (wants_help(argc, argv)) {
		puts("usage: sumi explain \"WORDS\" [OPTIONS]\n\nWrites a page that shows how the picture comes about.\n");
		print_options(table, ROWS);
		return 0;
	}
	int code = parse_options(table, ROWS, &s, &words, argc, argv);
	if (code) return code;
	if (words.count == 1) s.prompt = words.item[0];
	if (words.count > 1) return complain(2, "a prompt of several words is one argument, in quotes");
	if (!s.prompt) return complain(2, "no prompt: say what to draw");
	if (!find_model(s.model, path, sizeof path)) return 3;
	if (snprintf(temporary, sizeof temporary, "%s.part", s.output) >= (int)sizeof temporary)
		return complain(2, "--output: the path is too long");
	sumi_error e = { 0 };
	page y = { .s = &s, .e = &e };
	progress_begin(&y.progress, s.verbose, s.quiet);
	sumi_listener l = progress_listener(&y.progress);
	sumi_model_options m = model_options(&s.components, &s.machine, &l);
	y.model = sumi_open(path, &m, &e);
	y.to = y.model ? fopen(temporary, "w") : NULL;
	if (y.model && !y.to) code = complain(3, "%.3000s: cannot be written", temporary);
	if (y.to) put_page(&y);
	progress_end(&y.progress);
	if (y.to && (fclose(y.to) || (!e.status && rename(temporary, s.output))))
		code = complain(3, "%.3000s: could not be written", s.output);
	if (y.to && (code || e.status)) remove(temporary);
	sumi_close(y.model);
	if (e.status) return complain(e.status, "%s", e.status == SUMI_STOPPED ? "stopped" : e.text);
	if (!code) puts(s.output);
	return code;
}
