/* optimizer.c - keeps each tensor's state and hands a step to the rule; the arithmetic shared by all of training. */
#include "train/optimize/optimizer_rules.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

static const struct rule {
	const char *name;
	int (*pieces)(const optimizer_options *o, shape s, optimizer_piece *pieces);
	void (*update)(const update *u);
} rules[OPTIMIZERS] = {
	[ADAMW] = { "adamw", adamw_pieces, adamw_update },
	[ADAMW_8BIT] = { "adamw8bit", adamw_8bit_pieces, adamw_8bit_update },
	[ADAFACTOR] = { "adafactor", adafactor_pieces, adafactor_update },
	[SGD] = { "sgd", sgd_pieces, sgd_update },
};

struct optimizer {
	optimizer_options options;
	int count;
	int64_t step;
	shape *shapes;
	bool *elsewhere;
	void *(*states)[PIECES];
};

const char *optimizer_name(optimizer_kind kind) { return kind < OPTIMIZERS ? rules[kind].name : "?"; }

bool optimizer_from_name(const char *name, optimizer_kind *kind)
{
	for (int i = 0; i < OPTIMIZERS; i++)
		if (!strcmp(name, rules[i].name)) return *kind = (optimizer_kind)i, true;
	return false;
}

static size_t piece_bytes(const optimizer_piece *p) { return shape_count(p->shape) * dtype_size(p->dtype); }

size_t optimizer_bytes(const optimizer_options *o, int count, const shape *shapes)
{
	size_t bytes = 0;
	for (int i = 0; i < count; i++) {
		optimizer_piece pieces[PIECES];
		int n = rules[o->kind].pieces(o, shapes[i], pieces);
		for (int p = 0; p < n; p++) bytes += piece_bytes(&pieces[p]);
	}
	return bytes;
}

optimizer *optimizer_new(
    const optimizer_options *options, int count, const shape *shapes, const bool *elsewhere, error *e)
{
	optimizer *o = calloc(1, sizeof *o);
	if (!o) goto no_memory;
	o->options = *options;
	o->shapes = calloc((size_t)count + 1, sizeof *o->shapes);
	o->states = calloc((size_t)count + 1, sizeof *o->states);
	o->elsewhere = calloc((size_t)count + 1, sizeof *o->elsewhere);
	if (!o->shapes || !o->states || !o->elsewhere) goto no_memory;
	for (o->count = 0; o->count < count; o->count++) {
		optimizer_piece pieces[PIECES];
		o->shapes[o->count] = shapes[o->count];
		if ((o->elsewhere[o->count] = elsewhere && elsewhere[o->count])) continue;
		int n = rules[options->kind].pieces(options, shapes[o->count], pieces);
		for (int p = 0; p < n; p++) {
			if (!(o->states[o->count][p] = memory_new(piece_bytes(&pieces[p])))) goto no_memory;
			memset(o->states[o->count][p], 0, piece_bytes(&pieces[p]));
		}
	}
	return o;
no_memory:
	fail(e, NO_MEMORY, "no memory for the optimizer's state (%zu bytes)", optimizer_bytes(options, count, shapes));
	if (o && o->states && o->count < count) o->count++; /* some of its pieces may be there */
	optimizer_free(o);
	return NULL;
}

void optimizer_free(optimizer *o)
{
	if (!o) return;
	for (int i = 0; o->states && i < o->count; i++)
		for (int p = 0; p < PIECES; p++) free(o->states[i][p]);
	free(o->states);
	free(o->shapes);
	free(o->elsewhere);
	free(o);
}

void optimizer_begin(optimizer *o) { o->step++; }

void optimizer_step(optimizer *o, int index, float *weights, const float *gradient, float scale, float rate)
{
	if (o->elsewhere[index]) return;
	rules[o->options.kind].update(&(update){
	    .options = &o->options,
	    .shape = o->shapes[index],
	    .count = shape_count(o->shapes[index]),
	    .weights = weights,
	    .gradient = gradient,
	    .scale = scale,
	    .rate = rate,
	    .step = (double)o->step,
	    .state = o->states[index],
	});
}

bool optimizer_state(const optimizer *o, int index, int p, optimizer_piece *piece)
{
	optimizer_piece pieces[PIECES];
	if (p >= rules[o->options.kind].pieces(&o->options, o->shapes[index], pieces)) return false;
	*piece = pieces[p];
	piece->data = o->states[index][p];
	return true;
}

int64_t optimizer_steps(const optimizer *o) { return o->step; }

void optimizer_set_steps(optimizer *o, int64_t steps) { o->step = steps; }

double sum_of_squares(const float *x, size_t n, int threads)
{
	/* Sums of chunks are added in groups, so that few are kept: 64 chunks at a time, in their order. */
	enum { GROUP = 64 };
	double total = 0;
	for (size_t first = 0; first < chunks_of(n); first += GROUP) {
		double sums[GROUP] = { 0 };
		size_t left = chunks_of(n) - first;
		int group = left < GROUP ? (int)left : GROUP;
#pragma omp parallel for num_threads(threads) schedule(static)
		for (int c = 0; c < group; c++) {
			const float *at = x + (first + (size_t)c) * CHUNK;
			size_t length = chunk_length(n, first + (size_t)c), i = 0;
			double lane[8] = { 0 };
			for (; i + 8 <= length; i += 8)
#pragma omp simd
				for (int k = 0; k < 8; k++) lane[k] += (double)at[i + (size_t)k] * (double)at[i + (size_t)k];
			for (; i < length; i++) lane[0] += (double)at[i] * (double)at[i];
			sums[c] = ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
		}
		for (int c = 0; c < group; c++) total += sums[c];
	}
	return total;
}

void average_into(float *average, const float *x, size_t n, double decay, int threads)
{
	float keep = (float)decay, take = (float)(1 - decay);
#pragma omp parallel for simd num_threads(threads) schedule(static)
	for (size_t i = 0; i < n; i++) average[i] = keep * average[i] + take * x[i];
}

void add_into(float *sum, const float *x, size_t n, int threads)
{
#pragma omp parallel for simd num_threads(threads) schedule(static)
	for (size_t i = 0; i < n; i++) sum[i] += x[i];
}
