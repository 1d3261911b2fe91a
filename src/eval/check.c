/* check.c - what the autoencoder loses, and whether the judge can be trusted: real pictures, disturbed a little or
 * rebuilt by the autoencoder, should find themselves among all. The second is as good as any drawing can be judged. */
#include "base/random.h"
#include "eval/evaluate.h"
#include <math.h>
#include <stdlib.h>

enum { MOST_CHECKED = 500 };

/* ── the autoencoder ── */

/* Values −1 … 1 as bytes show them, 0 … 255. */
static double shown(float x)
{
	double y = rint((double)(x + 1) * 127.5);
	return y < 0 ? 0 : y > 255 ? 255 : y;
}

/* PSNR of bytes, 20·log10(255 / root of the mean square), at most 99; and the mean difference as a share of 255. */
static double compare(const float *a, const float *b, size_t n, double *l1)
{
	double squares = 0, sum = 0;
	for (size_t i = 0; i < n; i++) {
		double d = shown(a[i]) - shown(b[i]);
		squares += d * d;
		sum += fabs(d);
	}
	*l1 = sum / (double)n / 255;
	return squares > 0 ? fmin(99, 10 * log10(255.0 * 255.0 * (double)n / squares)) : 99;
}

static void note_rebuilt(evaluation *v, int index, double psnr, double l1)
{
	figures *f = &v->f;
	if (!f->rebuilt || psnr < f->worst_psnr) {
		f->worst = index;
		f->worst_psnr = psnr;
	}
	f->psnr += psnr;
	f->l1 += l1;
	f->rebuilt++;
}

static bool finds_itself(evaluation *v, space s, const float *features, int index)
{
	references r = { &v->set, v->features[s], v->width[s] };
	return judge(&r, features, index, v->distances).rank == 0;
}

typedef struct bench { /* memory for a batch */
	float *pictures, *rebuilt, *features[SPACES];
	float *noise; /* of one picture */
} bench;

static bool bench_new(bench *b, const evaluation *v, error *e)
{
	size_t n = (size_t)features_batch(v->encoder);
	b->pictures = malloc(n * features_pixels(v->encoder) * sizeof(float));
	b->rebuilt = malloc(n * features_pixels(v->encoder) * sizeof(float));
	b->noise = malloc(features_pixels(v->encoder) * sizeof(float));
	for (int s = 0; s < SPACES; s++) b->features[s] = malloc(n * v->width[s] * sizeof(float));
	return (b->pictures && b->rebuilt && b->noise && b->features[0] && b->features[1]) ||
	       fail(e, NO_MEMORY, "out of memory for pictures");
}

static void bench_free(bench *b)
{
	free(b->pictures);
	free(b->rebuilt);
	free(b->noise);
	for (int s = 0; s < SPACES; s++) free(b->features[s]);
}

static bool rebuild_batch(evaluation *v, bench *b, int first, int count, error *e)
{
	const float *latents = v->features[LATENT_SPACE] + (size_t)first * v->width[LATENT_SPACE];
	if (!load_pictures(v, first, count, b->pictures, e) ||
	    !features_decode(v->encoder, latents, count, b->rebuilt, e) || !look(v, b->rebuilt, count, b->features, e))
		return false;
	for (int i = 0; i < count; i++) {
		size_t at = (size_t)i * features_pixels(v->encoder);
		double l1, psnr = compare(b->pictures + at, b->rebuilt + at, features_pixels(v->encoder), &l1);
		note_rebuilt(v, first + i, psnr, l1);
		for (int s = 0; s < SPACES; s++) {
			v->f.reconstructed[s].of++;
			v->f.reconstructed[s].hits +=
			    finds_itself(v, (space)s, b->features[s] + (size_t)i * v->width[s], first + i);
		}
	}
	return true;
}

bool check_autoencoder(evaluation *v, error *e)
{
	int first = v->o->heldout ? seen_pictures(v) : 0, end = v->set.count, at_once = features_batch(v->encoder);
	bench b = { 0 };
	bool fine = bench_new(&b, v, e);
	for (int i = first; fine && i < end; i += at_once)
		fine = watcher_progress(&v->watcher, "rebuild", i - first, end - first, e) &&
		       rebuild_batch(v, &b, i, end - i < at_once ? end - i : at_once, e);
	bench_free(&b);
	if (!fine) return false;
	v->f.psnr /= v->f.rebuilt;
	v->f.l1 /= v->f.rebuilt;
	return watcher_progress(&v->watcher, "rebuild", end - first, end - first, e);
}

/* ── the judge ── */

/* Moved by one or two pixels each way, a tenth paler, and noise of 0.1 on values of −1 … 1. */
static void disturb(const float *picture, int side, generator *g, float *out, float *noise)
{
	int64_t draw[4];
	random_integers(g, 0, 2, draw, 4);
	int dx = (draw[0] ? 1 : -1) * (1 + (int)draw[1]), dy = (draw[2] ? 1 : -1) * (1 + (int)draw[3]);
	random_normal(g, noise, (size_t)side * (size_t)side * 3);
	for (int y = 0; y < side; y++)
		for (int x = 0; x < side; x++) {
			int u = x + dx, w = y + dy;
			bool there = u >= 0 && u < side && w >= 0 && w < side;
			for (int c = 0; c < 3; c++) {
				float value = there ? picture[(w * side + u) * 3 + c] : 1;
				float *to = &out[(y * side + x) * 3 + c];
				*to = 0.9f * value + 0.1f + 0.1f * noise[(y * side + x) * 3 + c];
				*to = fmaxf(-1, fminf(1, *to));
			}
		}
}

static bool disturb_batch(evaluation *v, bench *b, const int64_t *which, int count, generator *g, error *e)
{
	for (int i = 0; i < count; i++) {
		if (!load_pictures(v, (int)which[i], 1, b->pictures, e)) return false;
		disturb(b->pictures, v->m->family.size, g, b->rebuilt + (size_t)i * features_pixels(v->encoder), b->noise);
	}
	if (!look(v, b->rebuilt, count, b->features, e)) return false;
	for (int i = 0; i < count; i++)
		for (int s = 0; s < SPACES; s++) {
			v->f.disturbed[s].of++;
			v->f.disturbed[s].hits +=
			    finds_itself(v, (space)s, b->features[s] + (size_t)i * v->width[s], (int)which[i]);
		}
	return true;
}

bool check_judge(evaluation *v, error *e)
{
	int count = v->set.count, checked = count < MOST_CHECKED ? count : MOST_CHECKED,
	    at_once = features_batch(v->encoder);
	int64_t *order = malloc((size_t)count * sizeof *order);
	generator g;
	bench b = { 0 };
	bool fine = bench_new(&b, v, e) && (order || fail(e, NO_MEMORY, "out of memory for %d pictures", count));
	generator_seed(&g, (uint64_t)v->draw.seed);
	if (fine) random_permutation(&g, order, (size_t)count);
	for (int i = 0; fine && i < checked; i += at_once)
		fine = watcher_progress(&v->watcher, "check", i, checked, e) &&
		       disturb_batch(v, &b, order + i, checked - i < at_once ? checked - i : at_once, &g, e);
	free(order);
	bench_free(&b);
	return fine && watcher_progress(&v->watcher, "check", checked, checked, e);
}
