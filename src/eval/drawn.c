/* drawn.c - draws a picture for each chosen text, judges it, and keeps some to be shown. */
#include "base/random.h"
#include "eval/evaluate.h"
#include "pipeline/engine.h"
#include "pipeline/picture.h"
#include "text/prompt.h"
#include <stdlib.h>
#include <string.h>

/* Texts of the training set in an order of chance, begun anew where more are asked for than there are; then all that
 * was held out, once. Sample i has the seed `seed` + i. */
static bool choose_samples(evaluation *v, error *e)
{
	int count = seen_pictures(v), seen = v->o->samples;
	v->seen_count = seen;
	v->sample_count = seen + v->set.count - count;
	v->samples = calloc((size_t)v->sample_count + 1, sizeof *v->samples);
	v->pooled_samples = calloc((size_t)v->sample_count * (size_t)features_pooled(v->encoder) + 1, sizeof(float));
	int64_t *order = malloc((size_t)count * sizeof *order);
	bool fine = (v->samples && v->pooled_samples && order) ||
	            fail(e, NO_MEMORY, "out of memory for %d samples", v->sample_count);
	generator g;
	generator_seed(&g, (uint64_t)v->draw.seed);
	for (int i = 0; fine && i < v->sample_count; i++) {
		if (i < seen && i % count == 0) random_permutation(&g, order, (size_t)count);
		v->samples[i].wanted = i < seen ? (int)order[i % count] : count + i - seen;
		v->samples[i].seed = v->draw.seed + i;
	}
	free(order);
	return fine;
}

/* ── judging ── */

static void tally(share *s, bool hit)
{
	s->of++;
	s->hits += hit;
}

static void record(figures *f, bool seen, const verdict *v)
{
	if (seen) {
		tally(&f->seen_first, v->rank == 0);
		tally(&f->seen_five, v->rank < 5);
	} else if (v->group_judged) {
		tally(&f->held_first, v->rank == 0);
		tally(&f->held_five, v->rank < 5);
		tally(&f->held_group, v->group_rank < 5);
		tally(&f->held_variant, v->variant);
	} else {
		tally(&f->single_first, v->rank == 0);
		tally(&f->single_five, v->rank < 5);
	}
}

/* ── the grid ── */

/* Half of what is shown is from each kind of text, where both were drawn. */
static bool is_shown(const evaluation *v, int i)
{
	int held = v->sample_count - v->seen_count, half = v->o->shown / 2;
	int of_held = v->seen_count < half ? v->o->shown - v->seen_count : half;
	if (of_held > held) of_held = held;
	if (i < v->seen_count) return i < v->o->shown - of_held;
	/* spread over the whole of the held-out list, which has an order */
	int k = i - v->seen_count;
	return of_held > 0 && k * of_held / held != (k + 1) * of_held / held;
}

static bool keep_cells(evaluation *v, sumi_image *picture, const drawn *s, error *e)
{
	int side = v->m->family.size, index[2] = { s->verdict.nearest, s->wanted };
	float *values = malloc(features_pixels(v->encoder) * sizeof *values);
	bool fine = values || fail(e, NO_MEMORY, "out of memory for a picture");
	v->cells[v->cell_count++] = picture;
	for (int k = 0; fine && k < 2; k++) {
		fine = load_pictures(v, index[k], 1, values, e);
		sumi_image *cell = fine ? picture_from(values, side, side, NULL, NULL, e) : NULL;
		fine = cell != NULL;
		if (fine) v->cells[v->cell_count++] = cell;
	}
	free(values);
	return fine;
}

/* ── drawing ── */

typedef struct studio {
	session *session;
	int size;
	char **texts; /* as prompts, in which captions' brackets stand for themselves */
	sumi_options *options;
	const sumi_options **list;
	sumi_image **pictures;
	float *values, *features[SPACES];
} studio;

static bool studio_new(studio *s, const evaluation *v, error *e)
{
	s->size = engine_batch(v->m, v->m->family.size, v->m->family.size, v->draw.guidance > 1 ? 2 : 1);
	if (s->size > features_batch(v->encoder)) s->size = features_batch(v->encoder);
	size_t n = (size_t)s->size;
	s->texts = calloc(n, sizeof *s->texts);
	s->options = calloc(n, sizeof *s->options);
	s->list = calloc(n, sizeof *s->list);
	s->pictures = calloc(n, sizeof(sumi_image *));
	s->values = malloc(n * features_pixels(v->encoder) * sizeof(float));
	for (int k = 0; k < SPACES; k++) s->features[k] = malloc(n * v->width[k] * sizeof(float));
	if (!s->texts || !s->options || !s->list || !s->pictures || !s->values || !s->features[0] || !s->features[1])
		return fail(e, NO_MEMORY, "out of memory for %d pictures", s->size);
	return (s->session = session_open(v->m, 0, true, e)) != NULL;
}

static void studio_free(studio *s)
{
	session_close(s->session);
	for (int i = 0; i < s->size; i++) {
		if (s->texts) free(s->texts[i]);
		if (s->pictures) sumi_image_free(s->pictures[i]);
	}
	free(s->texts);
	free(s->options);
	free(s->list);
	free(s->pictures);
	free(s->values);
	for (int k = 0; k < SPACES; k++) free(s->features[k]);
}

/* The bytes of the drawn pictures are judged, not the floats before them. */
static bool judge_batch(evaluation *v, studio *s, int first, int count, error *e)
{
	int side = v->m->family.size, pooled = features_pooled(v->encoder);
	for (int i = 0; i < count; i++) {
		float *values = picture_of(s->pictures[i], side, side, e);
		if (!values) return false;
		memcpy(
		    s->values + (size_t)i * features_pixels(v->encoder), values, features_pixels(v->encoder) * sizeof *values);
		free(values);
	}
	if (!look(v, s->values, count, s->features, e)) return false;
	references r = { &v->set, v->features[v->space], v->width[v->space] };
	for (int i = 0; i < count; i++) {
		drawn *one = &v->samples[first + i];
		one->verdict = judge(&r, s->features[v->space] + (size_t)i * r.width, one->wanted, v->distances);
		record(&v->f, first + i < v->seen_count, &one->verdict);
		features_pool(v->encoder, s->features[LATENT_SPACE] + (size_t)i * v->width[LATENT_SPACE],
		    v->pooled_samples + (size_t)(first + i) * (size_t)pooled);
		if (!is_shown(v, first + i)) continue;
		sumi_image *picture = s->pictures[i];
		s->pictures[i] = NULL; /* the cells own it */
		if (!keep_cells(v, picture, one, e)) return false;
	}
	return true;
}

static bool draw_batch(evaluation *v, studio *s, int first, int count, error *e)
{
	for (int i = 0; i < count; i++) {
		free(s->texts[i]);
		s->texts[i] = prompt_escaped(v->set.at[v->samples[first + i].wanted].text);
		s->options[i] = v->draw;
		s->options[i].prompt = s->texts[i];
		s->options[i].seed = v->samples[first + i].seed;
		s->list[i] = &s->options[i];
		if (!s->texts[i]) return fail(e, NO_MEMORY, "out of memory for a prompt");
	}
	bool fine = engine_draw(s->session, s->list, count, s->pictures, e) && judge_batch(v, s, first, count, e);
	for (int i = 0; i < s->size; i++) {
		sumi_image_free(s->pictures[i]);
		s->pictures[i] = NULL;
	}
	return fine;
}

bool draw_samples(evaluation *v, error *e)
{
	studio s = { 0 };
	if (!choose_samples(v, e)) return false;
	v->cells = calloc(3 * (size_t)v->o->shown + 6, sizeof(sumi_image *));
	bool fine = (v->cells || fail(e, NO_MEMORY, "out of memory for a grid")) && studio_new(&s, v, e);
	for (int i = 0; fine && i < v->sample_count; i += s.size) {
		int left = v->sample_count - i;
		fine = watcher_progress(&v->watcher, "draw", i, v->sample_count, e) &&
		       draw_batch(v, &s, i, left < s.size ? left : s.size, e);
	}
	studio_free(&s);
	return fine && watcher_progress(&v->watcher, "draw", v->sample_count, v->sample_count, e);
}
