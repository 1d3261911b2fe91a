/* explain_parts.c - the parts of the page of sumi explain, in the order in which a picture comes about. Everything is
 * drawn by the library's public functions, as any program could. */
#include "cli/explain.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TIMES = 5, WORDS = 12, SMALL = 160 };

/* ── words ── */

typedef struct token_row {
	page *page;
	int encoder, count;
} token_row;

static void put_token(void *context, int encoder, int id, const char *text)
{
	token_row *r = context;
	FILE *to = r->page->to;
	if (encoder != r->encoder) {
		if (r->encoder >= 0) fputs("</div><p></p><div class=\"row\">\n", to);
		r->encoder = encoder;
	}
	fputs("<span class=\"token\">", to);
	page_text(to, text);
	fprintf(to, "<span class=\"id\">%d</span></span>\n", id);
	r->count++;
}

void explain_tokens(page *y)
{
	token_row r = { y, -1, 0 };
	page_row(y, "Words become tokens",
	    "The prompt is cut into pieces that the text encoder has a number for (<code>src/text</code>): those below, a "
	    "row "
	    "for each encoder. The encoder makes a vector of each, which knows its neighbours "
	    "(<code>src/models/text_encoder.c</code>); the denoiser hears these and nothing else of the words.");
	sumi_prompt_tokens(y->model, y->s->prompt, put_token, &r, y->e);
	if (!r.count) fputs("none", y->to);
	page_row_end(y);
}

/* The words of the prompt, without brackets, each once. */
typedef struct word_list {
	char *text[WORDS];
	int count;
} word_list;

static bool is_edge(char c) { return ispunct((unsigned char)c); }

static void add_word(word_list *w, const char *at, size_t n)
{
	while (n && is_edge(at[n - 1])) n--;
	while (n && is_edge(*at)) at++, n--;
	for (int i = 0; i < w->count; i++)
		if (strlen(w->text[i]) == n && !strncasecmp(w->text[i], at, n)) return;
	if (n && w->count < WORDS && (w->text[w->count] = strndup(at, n))) w->count++;
}

static void add_words(void *context, const char *text, size_t length, double weight)
{
	(void)weight;
	for (size_t at = 0, end; at < length; at = end + 1) {
		for (end = at; end < length && !isspace((unsigned char)text[end]);) end++;
		add_word(context, text + at, end - at);
	}
}

static void free_words(word_list *w)
{
	for (int i = 0; i < w->count; i++) free(w->text[i]);
}

/* ── the way ── */

typedef struct moment { /* of the latent */
	int step;
	double time, signal, noise;
	float *noisy, *clean;
} moment;

typedef struct way {
	page *page;
	int shown; /* the last guess that was put into the strip; −1: none */
	int width, height, channels;
	moment of[TIMES];
} way;

static float *copy_of(const float *values, size_t n)
{
	float *copy = values ? malloc(n * sizeof *copy) : NULL;
	return copy ? memcpy(copy, values, n * sizeof *copy) : NULL;
}

/* Five moments, evenly over the steps, from the first latent to the last. */
static void on_latent(void *context, int index, int step, const sumi_latent *l)
{
	way *w = context;
	size_t n = (size_t)l->width * (size_t)l->height * (size_t)l->channels;
	(void)index;
	for (int i = 0; i < TIMES; i++) {
		if (step != (int)(w->page->s->steps * i / (TIMES - 1))) continue;
		free(w->of[i].noisy);
		free(w->of[i].clean);
		w->of[i] =
		    (moment){ step, l->time, l->signal, l->noise, copy_of(l->noisy, n), copy_of(i ? l->clean : NULL, n) };
	}
	w->width = l->width;
	w->height = l->height;
	w->channels = l->channels;
}

/* Ten guesses, evenly over the steps. */
static void on_preview(void *context, int index, int step, const sumi_image *picture)
{
	way *w = context;
	char caption[64];
	int place = (int)(step * 10 / w->page->s->steps);
	if (index || place == w->shown) return;
	w->shown = place;
	snprintf(caption, sizeof caption, "after step %d", step);
	page_figure(w->page, picture, SMALL, caption);
}

static int on_progress(void *context, const char *stage, int step, int steps)
{
	way *w = context;
	sumi_listener l = progress_listener(&w->page->progress);
	return l.progress(&w->page->progress, stage, step, steps);
}

static double deviation(const float *x, size_t n, size_t stride)
{
	double sum = 0, squares = 0, count = (double)(n / stride);
	for (size_t i = 0; i < n; i += stride) sum += (double)x[i], squares += (double)x[i] * (double)x[i];
	return sqrt(fmax(0, squares / count - sum / count * (sum / count)));
}

/* A latent's channels as grey pictures, four in a row, grey at 0 and white or black at `reach`. */
static sumi_image *channels_of(const way *w, const float *x, double reach, sumi_error *e)
{
	int columns = w->channels < 4 ? w->channels : 4, rows = (w->channels + columns - 1) / columns;
	int width = columns * (w->width + 1) - 1, height = rows * (w->height + 1) - 1;
	sumi_image *p = x ? sumi_image_new(width, height, NULL, e) : NULL;
	if (!p) return NULL;
	memset(p->pixels, 255, 3 * (size_t)width * (size_t)height);
	for (int c = 0; c < w->channels; c++)
		for (int i = 0; i < w->width * w->height; i++) {
			int column = c % columns * (w->width + 1) + i % w->width,
			    row = c / columns * (w->height + 1) + i / w->width;
			double v = 127.5 + 127.5 * (double)x[i * w->channels + c] / reach;
			memset(p->pixels + 3 * (row * width + column), v < 0 ? 0 : v > 255 ? 255 : (int)v, 3);
		}
	return p;
}

/* The root mean square of what two latents differ by. */
static double apart(const float *a, const float *b, size_t n)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++) sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
	return sqrt(sum / (double)n);
}

static void put_channels(page *y, const way *w, const float *x, const char *caption)
{
	sumi_image *p =
	    channels_of(w, x, 3 * fmax(deviation(x, (size_t)(w->width * w->height * w->channels), 1), 1e-6), y->e);
	page_figure(y, p, 2 * SMALL, caption);
	sumi_image_free(p);
}

static void put_moments(page *y, const way *w)
{
	char caption[160];
	size_t n = (size_t)w->width * (size_t)w->height * (size_t)w->channels;
	const float *last = w->of[TIMES - 1].noisy;
	if (!last) return;
	page_row(y, "The latent at five times",
	    "The picture is not drawn in pixels: the autoencoder has a small number of channels for each of its places, "
	    "and "
	    "this is them, grey where they are 0. Left the latent as the sampler has it, signal · picture + noise · a "
	    "normal "
	    "distribution; right of it what the denoiser takes for the clean latent there, and how far that is from the "
	    "one it "
	    "ends with, as the root mean square (<code>src/diffusion/trajectory.h</code>, "
	    "<code>src/pipeline/denoise.c</code>).");
	for (int i = 0; i < TIMES; i++) {
		const moment *m = &w->of[i];
		if (!m->noisy) continue;
		snprintf(caption, sizeof caption, "step %d, time %.0f: signal %.3f, noise %.3f; deviation %.2f", m->step,
		    m->time, m->signal, m->noise, deviation(m->noisy, n, 1));
		fputs("<div class=\"row whole\">\n", y->to);
		put_channels(y, w, m->noisy, caption);
		if (m->clean)
			snprintf(caption, sizeof caption, "the guess of step %d: %.3f from the last latent", m->step,
			    apart(m->clean, last, n));
		if (m->clean) put_channels(y, w, m->clean, caption);
		page_row_end(y);
	}
	page_row_end(y);
	fputs("<p></p><table><tr><th>channel</th><th>mean</th><th>deviation</th><th>least</th><th>most</th></tr>\n", y->to);
	for (int c = 0; c < w->channels; c++) {
		double sum = 0, least = HUGE_VAL, most = -HUGE_VAL;
		for (size_t i = (size_t)c; i < n; i += (size_t)w->channels) {
			sum += (double)last[i];
			least = fmin(least, (double)last[i]);
			most = fmax(most, (double)last[i]);
		}
		fprintf(y->to, "<tr><td>%d</td><td>%.3f</td><td>%.3f</td><td>%.3f</td><td>%.3f</td></tr>\n", c,
		    sum / (w->width * w->height), deviation(last + c, n - (size_t)c, (size_t)w->channels), least, most);
	}
	fputs("</table><p class=\"about\">The last latent, by channels.</p>\n", y->to);
}

static void put_attention(page *y, const sumi_image *made, const word_list *words)
{
	char caption[160];
	size_t n = (size_t)made->attention_width * (size_t)made->attention_height;
	if (!made->attention) return;
	page_row(y, "Where each word is heard",
	    "In its attention layers each place of the picture weighs the tokens. This is the weight of each word's, the "
	    "mean "
	    "over all steps, layers and heads, from blue, where it is heard least, to yellow "
	    "(<code>src/nn/word_maps.c</code>; "
	    "<code>sumi generate --attention</code>).");
	for (int i = 0; i < made->attention_count; i++) {
		double sum = 0, most = 0;
		for (size_t k = 0; k < n; k++) {
			sum += (double)made->attention[(size_t)i * n + k];
			most = fmax(most, (double)made->attention[(size_t)i * n + k]);
		}
		sumi_image *heat = sumi_image_attention(made, i, y->e);
		snprintf(caption, sizeof caption, "%.60s: %.2f %% on average, %.2f %% at most", words->text[i],
		    100 * sum / (double)n, 100 * most);
		page_figure(y, heat, SMALL + SMALL / 2, caption);
		sumi_image_free(heat);
	}
	page_row_end(y);
}

static sumi_options options_of(const page *y, const sumi_listener *l)
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

/* With maps of the words, if the model has such attention. */
static sumi_image *draw_way(page *y, way *w, word_list *words)
{
	sumi_listener l = sumi_listener_defaults();
	l.context = w;
	l.progress = on_progress;
	l.preview = on_preview;
	l.latent = on_latent;
	sumi_options o = options_of(y, &l);
	o.preview = "decoder";
	o.attention_words = (const char *const *)words->text;
	o.attention_count = words->count;
	sumi_image *made = sumi_generate(y->model, &o, y->e);
	if (y->e->status != SUMI_BAD_USAGE || strncmp(y->e->text, "attention:", 10)) return made;
	*y->e = (sumi_error){ 0 };
	o.attention_count = 0;
	return sumi_generate(y->model, &o, y->e);
}

sumi_image *explain_way(page *y)
{
	way w = { .page = y, .shown = -1 };
	word_list words = { 0 };
	sumi_prompt_read(y->model, y->s->prompt, NULL, NULL, add_words, &words, y->e);
	page_row(y, "From noise to picture",
	    "A latent begins as noise. In each step the denoiser reads it, the time and the words, and says what of it is "
	    "noise. What is left is its guess of the clean latent, decoded here: at first a mean of all pictures that the "
	    "words could mean, then one of them (<code>src/diffusion</code>, <code>src/models/unet.c</code>).");
	sumi_image *made = draw_way(y, &w, &words);
	page_figure(y, made, SMALL, "the picture");
	page_row_end(y);
	if (made) put_moments(y, &w);
	if (made) put_attention(y, made, &words);
	for (int i = 0; i < TIMES; i++) {
		free(w.of[i].noisy);
		free(w.of[i].clean);
	}
	free_words(&words);
	return made;
}

/* ── what changes it ── */

void explain_guidance(page *y)
{
	static const double scales[] = { 1, 2, 4, 8, 16 };
	char caption[64];
	page_row(y, "What guidance does",
	    "The denoiser runs twice, with the words and without. The difference of its two answers, times the scale, is "
	    "the "
	    "way to go: 1 follows the words alone, more exaggerates what they change "
	    "(<code>src/diffusion/guidance.c</code>).");
	for (int i = 0; i < 5; i++) {
		sumi_listener l = progress_listener(&y->progress);
		sumi_options o = options_of(y, &l);
		o.guidance = scales[i];
		sumi_image *p = sumi_generate(y->model, &o, y->e);
		if (!p) break;
		snprintf(caption, sizeof caption, "scale %g", scales[i]);
		page_figure(y, p, SMALL, caption);
		sumi_image_free(p);
	}
	page_row_end(y);
}

/* Of two pictures of one size: the peak signal to noise ratio of their bytes. */
static double psnr(const sumi_image *a, const sumi_image *b)
{
	double sum = 0;
	size_t n = 3 * (size_t)a->width * (size_t)a->height;
	for (size_t i = 0; i < n; i++) sum += ((double)a->pixels[i] - b->pixels[i]) * ((double)a->pixels[i] - b->pixels[i]);
	return sum > 0 ? 10 * log10(255. * 255. * (double)n / sum) : INFINITY;
}

void explain_strengths(page *y, const sumi_image *made)
{
	static const double strengths[] = { 0.2, 0.4, 0.6, 0.8, 1 };
	char caption[96];
	page_row(y, "How much survives noise",
	    "The picture is encoded, noised up to a share of the way, and denoised again with another seed and no words. "
	    "Little noise takes details away, which come back otherwise; much of it takes the composition, and another "
	    "picture comes (<code>src/pipeline/encode.c</code>, <code>src/diffusion/trajectory.c</code>).");
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
		page_figure(y, again, SMALL, caption);
		sumi_image_free(again);
	}
	page_row_end(y);
}

/* Encoded and decoded: an image to image run of strength 0 does nothing between. */
void explain_round_trip(page *y, const sumi_image *made)
{
	char caption[96];
	if (!made) return;
	sumi_listener l = progress_listener(&y->progress);
	sumi_options o = options_of(y, &l);
	o.init = made;
	o.strength = 0;
	sumi_image *again = sumi_generate(y->model, &o, y->e),
	           *difference = again ? sumi_image_new(made->width, made->height, NULL, y->e) : NULL;
	page_row(y, "What the autoencoder loses",
	    "All of this happens in a latent, which the autoencoder makes of a picture and turns back. This is the picture "
	    "through both, and what changed, four times as strong around grey (<code>src/models/vae.c</code>).");
	if (difference) {
		for (size_t i = 0; i < 3 * (size_t)made->width * (size_t)made->height; i++) {
			int d = 128 + 4 * (again->pixels[i] - made->pixels[i]);
			difference->pixels[i] = (unsigned char)(d < 0 ? 0 : d > 255 ? 255 : d);
		}
		page_figure(y, made, SMALL + SMALL / 2, "before");
		snprintf(caption, sizeof caption, "after: %.1f dB", psnr(made, again));
		page_figure(y, again, SMALL + SMALL / 2, caption);
		page_figure(y, difference, SMALL + SMALL / 2, "4 × the difference");
	}
	page_row_end(y);
	sumi_image_free(again);
	sumi_image_free(difference);
}
