/* evaluate.c - the order of the work: read, look, check the feature encoder, draw, judge, compare. */
#include "eval/evaluate.h"
#include "base/random.h"
#include "eval/frechet.h"
#include "io/picture.h"
#include "pipeline/grid.h"
#include "pipeline/picture.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ── real pictures ── */

static bool load_picture(const evaluation *v, int i, float *out, error *e)
{
	picture p = { 0 };
	if (!picture_read(&p, v->set.at[i].path, PICTURE_MAX_PIXELS, e)) return false;
	sumi_image image = { .size = sizeof image, .width = p.width, .height = p.height, .pixels = p.rgb };
	float *values = picture_of(&image, v->m->family.size, v->m->family.size, e);
	if (values) memcpy(out, values, features_pixels(v->encoder) * sizeof *out);
	free(values);
	picture_free(&p);
	return values != NULL;
}

bool load_pictures(const evaluation *v, int first, int count, float *pictures, error *e)
{
	for (int i = 0; i < count; i++)
		if (!load_picture(v, first + i, pictures + (size_t)i * features_pixels(v->encoder), e)) return false;
	return true;
}

bool look(evaluation *v, const float *pictures, int count, float *features[SPACES], error *e)
{
	for (int i = 0; i < count; i++)
		features_reduce(v->encoder, pictures + (size_t)i * features_pixels(v->encoder),
		    features[PIXEL_SPACE] + (size_t)i * v->width[PIXEL_SPACE]);
	return features_encode(v->encoder, pictures, count, features[LATENT_SPACE], e);
}

static bool look_at_all(evaluation *v, error *e)
{
	int at_once = features_batch(v->encoder), count = v->set.count;
	float *pictures = malloc((size_t)at_once * features_pixels(v->encoder) * sizeof *pictures);
	bool fine = pictures || fail(e, NO_MEMORY, "out of memory for pictures");
	for (int first = 0; fine && first < count; first += at_once) {
		int n = count - first < at_once ? count - first : at_once;
		float *to[SPACES];
		for (int s = 0; s < SPACES; s++) to[s] = v->features[s] + (size_t)first * v->width[s];
		fine = watcher_progress(&v->watcher, "look", first, count, e) && load_pictures(v, first, n, pictures, e) &&
		       look(v, pictures, n, to, e);
	}
	for (int i = 0; fine && i < count; i++)
		features_pool(v->encoder, v->features[LATENT_SPACE] + (size_t)i * v->width[LATENT_SPACE],
		    v->pooled + (size_t)i * (size_t)features_pooled(v->encoder));
	free(pictures);
	return fine && watcher_progress(&v->watcher, "look", count, count, e);
}

/* ── Fréchet ── */

int seen_pictures(const evaluation *v)
{
	int n = 0;
	while (n < v->set.count && v->set.at[n].folder == 0) n++;
	return n;
}

/* Drawn for the training set's texts, against that set; and two halves of the set, by chance, against each other. */
static bool measure_frechet(evaluation *v, error *e)
{
	int width = features_pooled(v->encoder), count = seen_pictures(v), half = count / 2;
	figures *f = &v->f;
	if (v->seen_count < 2 || half < 2) return true;
	int64_t *order = malloc((size_t)count * sizeof *order);
	float *mixed = malloc((size_t)count * (size_t)width * sizeof *mixed);
	bool fine = (order && mixed) || fail(e, NO_MEMORY, "out of memory for %d features", count);
	if (fine) {
		generator g;
		generator_seed(&g, (uint64_t)v->draw.seed);
		random_permutation(&g, order, (size_t)count);
		for (int i = 0; i < count; i++)
			memcpy(mixed + (size_t)i * (size_t)width, v->pooled + (size_t)order[i] * (size_t)width,
			    (size_t)width * sizeof *mixed);
		fine = frechet_distance(
		           v->pooled_samples, (size_t)v->seen_count, v->pooled, (size_t)count, width, &f->frechet, e) &&
		       frechet_distance(mixed, (size_t)half, mixed + (size_t)half * (size_t)width, (size_t)(count - half),
		           width, &f->floor, e);
	}
	f->has_frechet = fine;
	f->frechet_samples = v->seen_count;
	f->frechet_pictures = count;
	free(order);
	free(mixed);
	return fine;
}

/* ── the whole ── */

static bool choose_space(evaluation *v, error *e)
{
	const char *name = v->o->space;
	v->space = LATENT_SPACE;
	if (!name || !strcasecmp(name, "latent")) return true;
	v->space = PIXEL_SPACE;
	return !strcasecmp(name, "pixels") || fail(e, BAD_USAGE, "space '%.40s' is neither latent nor pixels", name);
}

static bool prepare(evaluation *v, error *e)
{
	const sumi_evaluation_options *o = v->o;
	if (v->m->autoencoder_only && !o->autoencoder)
		return fail(e, BAD_USAGE, "%s: opened for its autoencoder alone, it cannot draw", v->m->path);
	if (!o->data) return fail(e, BAD_USAGE, "no folder of pictures to evaluate with");
	if (o->samples < 0 || o->samples > 1000000)
		return fail(e, BAD_USAGE, "samples %d: between 0 and 1000000", o->samples);
	if (o->shown < 0 || o->shown > 1000) return fail(e, BAD_USAGE, "shown %d: between 0 and 1000", o->shown);
	if (!adopt_options(&v->draw, o->draw, e) || !adopt_listener(&v->watcher.listener, o->listener, e)) return false;
	v->watcher.cancel = v->draw.cancel;
	v->draw.width = v->draw.height = 0;
	v->draw.init = v->draw.mask = NULL;
	v->draw.listener = NULL;
	if (v->draw.guidance < 0) v->draw.guidance = (double)v->m->family.guidance;
	if (v->draw.seed < 0)
		return fail(e, BAD_USAGE, "seed %lld: an evaluation needs a seed of at least 0", (long long)v->draw.seed);
	if (!choose_space(v, e) || !example_set_read(&v->set, o->data, o->group, o->variant, e)) return false;
	if (o->heldout && !example_set_read(&v->set, o->heldout, o->group, o->variant, e)) return false;
	if (!(v->encoder = features_new(v->m, e))) return false;
	size_t count = (size_t)v->set.count;
	v->width[LATENT_SPACE] = features_values(v->encoder);
	v->width[PIXEL_SPACE] = features_reduced(v->encoder);
	for (int s = 0; s < SPACES; s++) v->features[s] = calloc(count * v->width[s], sizeof(float));
	v->pooled = calloc(count * (size_t)features_pooled(v->encoder), sizeof(float));
	v->distances = calloc(count, sizeof(double));
	if (v->features[0] && v->features[1] && v->pooled && v->distances) return true;
	return fail(e, NO_MEMORY, "out of memory for the features of %d pictures", v->set.count);
}

static void forget(evaluation *v)
{
	example_set_free(&v->set);
	features_free(v->encoder);
	for (int s = 0; s < SPACES; s++) free(v->features[s]);
	for (int i = 0; i < v->cell_count; i++) sumi_image_free(v->cells[i]);
	free(v->cells);
	free(v->pooled);
	free(v->pooled_samples);
	free(v->samples);
	free(v->distances);
}

/* Drawn, nearest and wanted in threes; four threes a row. */
static bool make_report(evaluation *v, sumi_evaluation *result, error *e)
{
	result->table = report_table(v);
	result->json = report_json(v);
	if (!result->table || !result->json) return fail(e, NO_MEMORY, "out of memory for the report");
	if (v->cell_count) result->grid = image_grid((const sumi_image *const *)v->cells, v->cell_count, 12, 4, e);
	return !failed(e);
}

bool evaluate(const model *m, const sumi_evaluation_options *o, sumi_evaluation *result, error *e)
{
	evaluation v = { .m = m, .o = o };
	bool fine = prepare(&v, e) && look_at_all(&v, e) && check_autoencoder(&v, e) && check_judge(&v, e);
	if (fine && !o->autoencoder) fine = draw_samples(&v, e) && measure_frechet(&v, e);
	fine = fine && make_report(&v, result, e);
	forget(&v);
	return fine;
}
