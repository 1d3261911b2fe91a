/* preview.c - by projection, by a tiny autoencoder, or by the model's own. */
#include "pipeline/preview.h"
#include "base/random.h"
#include "pipeline/decode.h"
#include "pipeline/picture.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum preview_kind { LINEAR_PREVIEW, TINY_PREVIEW, DECODER_PREVIEW } preview_kind;

struct preview {
	session *session;
	preview_kind kind;
	watcher w; /* what making a preview loads is no stage of the picture */
	const sumi_listener *listener;
	float *values; /* [height][width][3] of one picture */
};

/* ── the fit ── */

enum { FIT_SIDE = 8, FIT_PICTURES = 2, FIT_PLACES = FIT_PICTURES * FIT_SIDE * FIT_SIDE };

/* Unit normal, the same for squares of 2 × 2 positions: latents that decoders are trained on are smooth. */
static void random_latents(float *latents, int channels)
{
	enum { SQUARES = FIT_SIDE / 2 };
	float drawn[FIT_PICTURES * SQUARES * SQUARES * MOST_COLOUR_CHANNELS];
	generator g;
	generator_seed(&g, 1);
	random_normal(&g, drawn, (size_t)(FIT_PICTURES * SQUARES * SQUARES * channels));
	for (int i = 0; i < FIT_PLACES; i++) {
		int k = i / (FIT_SIDE * FIT_SIDE), y = i / FIT_SIDE % FIT_SIDE, x = i % FIT_SIDE;
		const float *from = drawn + ((k * SQUARES + y / 2) * SQUARES + x / 2) * channels;
		memcpy(latents + i * channels, from, (size_t)channels * sizeof *latents);
	}
}

/* The mean colour of a latent position's pixels; pictures [..][factor·side][factor·side][3]. */
static double mean_colour(const float *pictures, int place, int factor, int colour)
{
	int k = place / (FIT_SIDE * FIT_SIDE), y = place / FIT_SIDE % FIT_SIDE, x = place % FIT_SIDE,
	    side = factor * FIT_SIDE;
	double sum = 0;
	for (int v = 0; v < factor; v++)
		for (int u = 0; u < factor; u++)
			sum += (double)pictures[((k * side + y * factor + v) * side + x * factor + u) * 3 + colour];
	return sum / (factor * factor);
}

/* Gauss's elimination with pivots; a small ridge keeps channels that say nothing from dividing by zero. */
static void solve(double (*a)[MOST_COLOUR_CHANNELS + 4], int n)
{
	for (int i = 0; i < n; i++) a[i][i] += 1e-6;
	for (int i = 0; i < n; i++) {
		int best = i;
		for (int r = i + 1; r < n; r++)
			if (fabs(a[r][i]) > fabs(a[best][i])) best = r;
		for (int c = 0; c < n + 3; c++) {
			double t = a[i][c];
			a[i][c] = a[best][c];
			a[best][c] = t;
		}
		for (int r = 0; r < n; r++) {
			double share = r == i ? 0 : a[r][i] / a[i][i];
			for (int c = i; share != 0 && c < n + 3; c++) a[r][c] -= share * a[i][c];
		}
	}
	for (int i = 0; i < n; i++)
		for (int c = n; c < n + 3; c++) a[i][c] /= a[i][i];
}

/* Normal equations: [zᵀz | zᵀcolours], z with a 1 behind the channels. */
static void fit(latent_colours *out, const float *latents, const float *pictures, int channels, int factor)
{
	double a[MOST_COLOUR_CHANNELS + 1][MOST_COLOUR_CHANNELS + 4] = { { 0 } };
	int n = channels + 1;
	for (int i = 0; i < FIT_PLACES; i++) {
		double row[MOST_COLOUR_CHANNELS + 4];
		for (int c = 0; c < channels; c++) row[c] = (double)latents[i * channels + c];
		row[channels] = 1;
		for (int c = 0; c < 3; c++) row[n + c] = mean_colour(pictures, i, factor, c);
		for (int r = 0; r < n; r++)
			for (int c = 0; c < n + 3; c++) a[r][c] += row[r] * row[c];
	}
	solve(a, n);
	for (int r = 0; r < n; r++)
		for (int c = 0; c < 3; c++) out->of[r][c] = a[r][n + c];
	out->known = true;
}

/* Fits the colours, unless they are known. */
static bool preview_fit(session *s, const adapter_set *a, const watcher *w, error *e)
{
	const model *m = session_model(s);
	latent_colours *colours = session_colours(s);
	int channels = m->family.autoencoder.latent_channels, factor = vae_factor(&m->family.autoencoder);
	if (colours->known) return true;
	if (channels > MOST_COLOUR_CHANNELS)
		return fail(
		    e, BAD_USAGE, "linear previews of latents with %d channels: at most %d", channels, MOST_COLOUR_CHANNELS);
	decoding d = { FIT_PICTURES, FIT_SIDE, FIT_SIDE, m->given[TINY_AUTOENCODER] && !m->tiny_previews, 0 };
	float *latents = malloc((size_t)(FIT_PLACES * channels) * sizeof *latents);
	float *pictures = malloc((size_t)(FIT_PLACES * factor * factor * 3) * sizeof *pictures);
	bool fine = (latents && pictures) || fail(e, NO_MEMORY, "out of memory for a preview");
	if (fine) random_latents(latents, channels);
	fine = fine && decode_with(s, &d, a, latents, pictures, w, e);
	if (fine) fit(colours, latents, pictures, channels, factor);
	free(latents);
	free(pictures);
	return fine;
}

/* ── showing ── */

static bool choose(preview_kind *kind, const job *j, error *e)
{
	const char *name = j->o->preview ? j->o->preview : "linear";
	*kind = !strcasecmp(name, "taesd") ? TINY_PREVIEW : !strcasecmp(name, "decoder") ? DECODER_PREVIEW : LINEAR_PREVIEW;
	if (*kind == LINEAR_PREVIEW && strcasecmp(name, "linear"))
		return fail(e, BAD_USAGE, "preview '%.40s': linear, taesd or decoder", name);
	if (*kind == TINY_PREVIEW && !j->m->given[TINY_AUTOENCODER])
		return fail(e, BAD_USAGE, "preview 'taesd': the model was opened without a tiny autoencoder");
	return true;
}

bool preview_check(const job *j, error *e)
{
	preview_kind kind;
	return choose(&kind, j, e);
}

static decoding decoding_by(preview_kind kind, const job *j)
{
	return (decoding){ 1, j->latent_width, j->latent_height, kind == TINY_PREVIEW, j->tile };
}

stage *preview_network(session *s, const job *j, const watcher *w, error *e)
{
	preview_kind kind;
	if (!choose(&kind, j, e) || !w || !w->listener.preview || kind == LINEAR_PREVIEW) return NULL;
	decoding d = decoding_by(kind, j);
	return decoding_network(s, &d, j->adapters, e);
}

bool preview_new(preview **out, session *s, const job *j, const watcher *w, error *e)
{
	preview_kind kind;
	*out = NULL;
	if (!choose(&kind, j, e)) return false;
	if (!w || !w->listener.preview) return true;
	preview *p = calloc(1, sizeof *p);
	if (!p) return fail(e, NO_MEMORY, "out of memory for previews");
	*out = p;
	p->session = s;
	p->kind = kind;
	p->w.cancel = w->cancel;
	p->listener = &w->listener;
	size_t values = kind == LINEAR_PREVIEW ? j->positions * 3 : (size_t)j->width * (size_t)j->height * 3;
	p->values = malloc(values * sizeof *p->values);
	if (!p->values) return fail(e, NO_MEMORY, "out of memory for previews");
	return kind != LINEAR_PREVIEW || preview_fit(s, j->adapters, &p->w, e);
}

void preview_free(preview *p)
{
	if (!p) return;
	free(p->values);
	free(p);
}

static void project(const latent_colours *colours, const job *j, const float *latent, float *out)
{
	for (size_t i = 0; i < j->positions; i++, latent += j->channels)
		for (int c = 0; c < 3; c++) {
			double sum = colours->of[j->channels][c];
			for (int k = 0; k < j->channels; k++) sum += colours->of[k][c] * (double)latent[k];
			*out++ = (float)sum;
		}
}

static bool make(preview *p, const job *j, const float *latent, error *e)
{
	if (p->kind == LINEAR_PREVIEW) {
		project(session_colours(p->session), j, latent, p->values);
		return true;
	}
	decoding d = decoding_by(p->kind, j);
	return decode_with(p->session, &d, j->adapters, latent, p->values, &p->w, e);
}

bool preview_show(preview *p, job *const *jobs, int count, int step, const float *denoised, error *e)
{
	for (int k = 0; k < count; k++) {
		const job *j = jobs[k];
		bool small = p->kind == LINEAR_PREVIEW;
		if (!make(p, j, denoised + (size_t)k * j->positions * (size_t)j->channels, e)) return false;
		sumi_image *image = picture_from(
		    p->values, small ? j->latent_width : j->width, small ? j->latent_height : j->height, NULL, NULL, e);
		if (!image) return false;
		p->listener->preview(p->listener->context, j->index, step, image);
		sumi_image_free(image);
	}
	return true;
}
