/* tiles.c - where tiles lie, how they share statistics, and how they fade into each other. */
#include "pipeline/tiles.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* FADE: over how many units a tile goes over into the next. LEAST_OWN: what the shortest tile has between its margins.
 * SAMPLE: side of the pieces that the sample is made of. MOST_ROUNDS: after so many, the statistics are taken as they
 * are. AGREED: by how much of a standard deviation they may still be off. */
enum { FADE = 2, LEAST_OWN = 16, SAMPLE = 8, MOST_ROUNDS = 6 };
static const double AGREED = 2e-3;

/* ── where tiles lie ── */

/* Half of the fade lies outside of what is a tile's own, and has to be right too. */
static int overlap_of(int reach) { return 2 * (reach + FADE / 2); }

int least_tile(int reach) { return overlap_of(reach) + LEAST_OWN; }

tiles tiles_of(int length, int most, int reach)
{
	int overlap = overlap_of(reach);
	if (most < least_tile(reach)) most = least_tile(reach);
	if (length <= most) return (tiles){ length, length, 1 };
	int count = (length - overlap + most - overlap - 1) / (most - overlap);
	return (tiles){ length, (length - overlap + count - 1) / count + overlap, count };
}

static int start_of(const tiles *t, int i) { return t->count > 1 ? i * (t->length - t->tile) / (t->count - 1) : 0; }

/* A tile's own places end in the middle of its overlap with the next. */
static int own_end(const tiles *t, int i)
{
	return i == t->count - 1 ? t->length : (start_of(t, i) + t->tile + start_of(t, i + 1)) / 2;
}

static int own_start(const tiles *t, int i) { return i ? own_end(t, i - 1) : 0; }

/* How much of the result is this tile's at each of its places, `scale` for a unit: ramps about the ends of what is its
 * own, which with its neighbours' add up to 1. */
static void weigh_places(const tiles *t, int i, int scale, float *shares)
{
	double first = own_start(t, i) * scale, end = own_end(t, i) * scale, fade = FADE * scale;
	for (int k = 0; k < t->tile * scale; k++) {
		double at = start_of(t, i) * scale + k + 0.5;
		double in = i ? (at - first) / fade + 0.5 : 1, out = i < t->count - 1 ? (end - at) / fade + 0.5 : 1;
		shares[k] = (float)(fmax(0, fmin(1, in)) * fmax(0, fmin(1, out)));
	}
}

/* ── statistics ── */

typedef struct norm_totals {
	int channels;
	double *sums, *squares; /* [C] of x and x² over all places */
	/* [2,C] mean and 1/σ: what is used in this round; of the sample; how the whole differed from it in the last. */
	float *used, *sample, *difference;
} norm_totals;

typedef struct run {
	const tiled_network *t;
	const float *from;
	float *to;
	float *tile, *result, *own, *sums; /* a tile's input, output and own places; [4,C] of any norm */
	float *row_weights, *column_weights;
	norm_totals totals[MOST_SHARED_NORMS];
} run;

static int norm_count(const run *r) { return r->t->stage->norms.count; }

/* Adds a tile's places to the sums. */
static void add_tile(norm_totals *t, const float *sums)
{
	size_t c = (size_t)t->channels;
	const float *times = sums, *plain = times + c, *mean = plain + c, *deviation = mean + c;
	for (size_t k = 0; k < c; k++) {
		t->sums[k] += (double)plain[k];
		t->squares[k] += (double)times[k] / (double)deviation[k] + (double)plain[k] * (double)mean[k];
	}
}

/* What is used for all tiles of a round: the sample's, and what the whole differs from it. */
static void take_sample(norm_totals *t, const float *sums)
{
	int c = t->channels;
	memcpy(t->sample, sums + 2 * c, 2 * (size_t)c * sizeof *sums);
	for (int k = 0; k < c; k++) {
		t->used[c + k] = t->difference[c + k] * t->sample[c + k];
		t->used[k] = t->sample[k] + t->difference[k] / t->used[c + k];
	}
}

/* A group's mean and 1/σ from what was summed over so many places. */
static void find_group(const norm_totals *t, int first, int width, double places, double epsilon, float found[2])
{
	double sum = 0, squares = 0, n = places * width;
	for (int k = first; k < first + width; k++) sum += t->sums[k], squares += t->squares[k];
	double mean = sum / n;
	found[0] = (float)mean;
	found[1] = (float)(1 / sqrt(fmax(0, squares / n - mean * mean) + epsilon));
}

/* Takes over what a group measured; by how much it differs from what was used. */
static double compare_group(norm_totals *t, int first, int width, const float found[2])
{
	int c = t->channels;
	double moved = fabs((double)(t->used[first] - found[0])) * (double)found[1];
	double scaled = fabs((double)(t->used[c + first] / found[1]) - 1);
	for (int k = first; k < first + width; k++) {
		t->difference[k] = (found[0] - t->sample[k]) * found[1];
		t->difference[c + k] = found[1] / t->sample[c + k];
	}
	return fmax(moved, scaled);
}

/* At the end of a round over so many units. */
static double compare_statistics(run *r, double units)
{
	double worst = 0;
	for (int i = 0; i < norm_count(r); i++) {
		const shared_norm *norm = &r->t->stage->norms.of[i];
		norm_totals *t = &r->totals[i];
		int width = t->channels / norm->groups;
		for (int first = 0; first < t->channels; first += width) {
			float found[2];
			find_group(t, first, width, units * norm->places, (double)norm->epsilon, found);
			worst = fmax(worst, compare_group(t, first, width, found));
		}
		memset(t->sums, 0, (size_t)t->channels * sizeof *t->sums);
		memset(t->squares, 0, (size_t)t->channels * sizeof *t->squares);
	}
	return worst;
}

/* ── a tile ── */

/* The sample is normalised relative to its own statistics, so that it follows what the layers before it change. */
static bool run_one(run *r, bool sample, error *e)
{
	const stage *s = r->t->stage;
	float relative = sample;
	bool fine = stage_write(s, s->in[0], r->tile, e);
	if (norm_count(r)) fine = fine && stage_write(s, s->in[1], r->own, e) && stage_write(s, s->in[2], &relative, e);
	for (int i = 0; fine && i < norm_count(r); i++)
		fine = stage_write(s, s->norms.of[i].given, sample ? r->totals[i].difference : r->totals[i].used, e);
	fine = fine && stage_run(r->t->stage, e);
	for (int i = 0; fine && i < norm_count(r); i++) {
		fine = graph_read_floats(s->g, s->norms.of[i].sums, r->sums, e);
		if (fine) (sample ? take_sample : add_tile)(&r->totals[i], r->sums);
	}
	return fine;
}

/* The place of the picture that the sample has at k: pieces of SAMPLE units, evenly from all of it. */
static size_t sampled(const tiles *t, int scale, int k)
{
	int piece = k / (SAMPLE * scale), pieces = (t->tile + SAMPLE - 1) / SAMPLE;
	int start = pieces > 1 ? piece * (t->length - SAMPLE) / (pieces - 1) : 0;
	return (size_t)(start * scale + k % (SAMPLE * scale));
}

static bool run_sample(run *r, error *e)
{
	const tiled_network *t = r->t;
	int height = t->rows.tile * t->in, width = t->columns.tile * t->in;
	size_t channels = (size_t)t->in_channels, all = (size_t)t->columns.length * (size_t)t->in;
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++) {
			size_t at = sampled(&t->rows, t->in, y) * all + sampled(&t->columns, t->in, x);
			memcpy(r->tile + ((size_t)y * (size_t)width + (size_t)x) * channels, r->from + at * channels,
			    channels * sizeof *r->tile);
		}
	return run_one(r, true, e);
}

static void take_tile(run *r, int row, int column)
{
	const tiled_network *t = r->t;
	size_t in = (size_t)t->in, channels = (size_t)t->in_channels, width = (size_t)t->columns.tile * in * channels;
	size_t all = (size_t)t->columns.length * in * channels;
	size_t top = (size_t)start_of(&t->rows, row) * in, left = (size_t)start_of(&t->columns, column) * in * channels;
	for (size_t y = 0; y < (size_t)t->rows.tile * in; y++)
		memcpy(r->tile + y * width, r->from + (top + y) * all + left, width * sizeof *r->tile);
	for (int y = 0; y < t->rows.tile; y++)
		for (int x = 0; x < t->columns.tile; x++) {
			int v = start_of(&t->rows, row) + y, u = start_of(&t->columns, column) + x;
			r->own[y * t->columns.tile + x] = v >= own_start(&t->rows, row) && v < own_end(&t->rows, row) &&
			                                  u >= own_start(&t->columns, column) && u < own_end(&t->columns, column);
		}
}

static void put_tile(run *r, int row, int column)
{
	const tiled_network *t = r->t;
	size_t out = (size_t)t->out, channels = (size_t)t->out_channels, width = (size_t)t->columns.tile * out;
	size_t all = (size_t)t->columns.length * out;
	size_t top = (size_t)start_of(&t->rows, row) * out, left = (size_t)start_of(&t->columns, column) * out;
	weigh_places(&t->rows, row, t->out, r->row_weights);
	weigh_places(&t->columns, column, t->out, r->column_weights);
	for (size_t y = 0; y < (size_t)t->rows.tile * out; y++)
		for (size_t x = 0; x < width; x++) {
			float share = r->row_weights[y] * r->column_weights[x];
			const float *value = r->result + (y * width + x) * channels;
			float *to = r->to + ((top + y) * all + left + x) * channels;
			for (size_t c = 0; share > 0 && c < channels; c++) to[c] += share * value[c];
		}
}

static bool run_round(run *r, const char *name, const watcher *w, error *e)
{
	const tiled_network *t = r->t;
	int all = t->rows.count * t->columns.count;
	size_t places = (size_t)t->rows.length * (size_t)t->columns.length * (size_t)t->out * (size_t)t->out;
	memset(r->to, 0, places * (size_t)t->out_channels * sizeof *r->to);
	for (int i = 0; i < all; i++) {
		take_tile(r, i / t->columns.count, i % t->columns.count);
		if (!watcher_progress(w, name, i, all, e) || !run_one(r, false, e) || !stage_read(t->stage, r->result, e))
			return false;
		put_tile(r, i / t->columns.count, i % t->columns.count);
	}
	return watcher_progress(w, name, all, all, e);
}

/* ── the whole ── */

static bool make_room(run *r)
{
	const tiled_network *t = r->t;
	const stage *s = t->stage;
	size_t most = 1;
	bool fine = true;
	for (int i = 0; i < s->norms.count; i++) {
		size_t c = (size_t)dim(s->g, s->norms.of[i].given, -1);
		r->totals[i] = (norm_totals){ (int)c, calloc(c, sizeof(double)), calloc(c, sizeof(double)),
			calloc(2 * c, sizeof(float)), calloc(2 * c, sizeof(float)), calloc(2 * c, sizeof(float)) };
		norm_totals *n = &r->totals[i];
		fine = fine && n->sums && n->squares && n->used && n->sample && n->difference;
		for (size_t k = c; fine && k < 2 * c; k++) n->difference[k] = 1;
		if (4 * c > most) most = 4 * c;
	}
	r->sums = malloc(most * sizeof *r->sums);
	r->tile = malloc(stage_count(s, s->in[0]) * sizeof *r->tile);
	r->result = malloc(stage_count(s, s->out) * sizeof *r->result);
	r->own = malloc((size_t)t->rows.tile * (size_t)t->columns.tile * sizeof *r->own);
	r->row_weights = malloc((size_t)t->rows.tile * (size_t)t->out * sizeof *r->row_weights);
	r->column_weights = malloc((size_t)t->columns.tile * (size_t)t->out * sizeof *r->column_weights);
	return fine && r->sums && r->tile && r->result && r->own && r->row_weights && r->column_weights;
}

static void free_room(run *r)
{
	for (int i = 0; i < norm_count(r); i++) {
		free(r->totals[i].sums);
		free(r->totals[i].squares);
		free(r->totals[i].used);
		free(r->totals[i].sample);
		free(r->totals[i].difference);
	}
	free(r->sums);
	free(r->tile);
	free(r->result);
	free(r->own);
	free(r->row_weights);
	free(r->column_weights);
}

void tile_inputs(nn *n, stage *s, int rows, int columns)
{
	s->in[1] = input(n->g, "own", REAL, shape4(1, rows, columns, 1));
	s->in[2] = input(n->g, "relative", REAL, shape1(1));
	s->norms = (shared_norms){ .own = s->in[1], .relative = s->in[2] };
	n->shared = &s->norms;
}

bool run_tiles(const tiled_network *t, const float *from, float *to, const char *name, const watcher *w, error *e)
{
	run r = { .t = t, .from = from, .to = to };
	double units = (double)t->rows.length * t->columns.length, off = 1;
	bool fine = make_room(&r) || fail(e, NO_MEMORY, "out of memory for tiles");
	for (int round = 1; fine && off > AGREED && round <= MOST_ROUNDS; round++) {
		if (norm_count(&r)) fine = run_sample(&r, e);
		fine = fine && run_round(&r, name, w, e);
		off = fine ? compare_statistics(&r, units) : 0;
		watcher_note(w, SUMI_DETAIL, "%s: round %d over %d tiles: statistics are off by %.4f", name, round,
		    t->rows.count * t->columns.count, off);
	}
	free_room(&r);
	return fine;
}
