/* optimizer.c - the state of each tensor, and the operation that uses it. */
#include "train/optimize/optimizer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECES = 4, LEAST_QUANTIZED = 4096 };

/* What one kind does with a tensor: its operation, and the pieces of its state. */
typedef struct step {
	opcode op;
	int count;
	optimizer_piece pieces[PIECES];
} step;

static step adamw(shape s)
{
	return (step){ UPDATE_ADAMW, 2,
		{ { .name = "exp_avg", .dtype = F32, .shape = s }, { .name = "exp_avg_sq", .dtype = F32, .shape = s } } };
}

static step adamw_8bit(shape s)
{
	size_t n = shape_count(s);
	if (n < LEAST_QUANTIZED) return adamw(s);
	shape scales = shape1((int)((n + QUANTIZED_BLOCK - 1) / QUANTIZED_BLOCK));
	return (step){ UPDATE_ADAMW_8BIT, 4,
		{ { .name = "exp_avg.code", .dtype = U8, .shape = s }, { .name = "exp_avg_root.code", .dtype = U8, .shape = s },
		    { .name = "exp_avg.scale", .dtype = F32, .shape = scales },
		    { .name = "exp_avg_root.scale", .dtype = F32, .shape = scales } } };
}

static step adafactor(shape s)
{
	int rows = s.d[0], columns = (int)(shape_count(s) / (size_t)rows);
	if (s.n < 2 || rows < 2 || columns < 2)
		return (step){ UPDATE_ADAFACTOR, 1, { { .name = "exp_avg_sq", .dtype = F32, .shape = s } } };
	return (step){ UPDATE_ADAFACTOR, 2,
		{ { .name = "exp_avg_sq_row", .dtype = F32, .shape = shape1(rows) },
		    { .name = "exp_avg_sq_col", .dtype = F32, .shape = shape1(columns) } } };
}

static step step_of(const optimizer_options *o, shape s)
{
	switch (o->kind) {
	case ADAMW_8BIT: return adamw_8bit(s);
	case ADAFACTOR: return adafactor(s);
	case SGD:
		return (step){ UPDATE_SGD, o->momentum != 0, { { .name = "momentum_buffer", .dtype = F32, .shape = s } } };
	default: return adamw(s);
	}
}

struct optimizer {
	optimizer_options options;
	const device *device;
	int count;
	int64_t steps;
	shape *shapes;
	bool *elsewhere;
	void *(*states)[PIECES];
};

static const char *const names[OPTIMIZERS] = {
	[ADAMW] = "adamw", [ADAMW_8BIT] = "adamw8bit", [ADAFACTOR] = "adafactor", [SGD] = "sgd"
};

bool optimizer_from_name(const char *name, optimizer_kind *kind)
{
	for (int i = 0; i < OPTIMIZERS; i++)
		if (!strcmp(name, names[i])) return *kind = (optimizer_kind)i, true;
	return false;
}

static size_t piece_bytes(const optimizer_piece *p) { return dtype_bytes(p->dtype, shape_count(p->shape)); }

size_t optimizer_bytes(const optimizer_options *o, int count, const shape *shapes)
{
	size_t bytes = 0;
	for (int i = 0; i < count; i++) {
		step s = step_of(o, shapes[i]);
		for (int p = 0; p < s.count; p++) bytes += piece_bytes(&s.pieces[p]);
	}
	return bytes;
}

static void *zeros(const device *d, size_t bytes, error *e)
{
	void *p = device_alloc(d, bytes);
	if (p && !d) return memset(p, 0, bytes);
	void *none = p ? calloc(1, bytes) : NULL;
	if (!none || !device_write(d, p, none, bytes, e)) device_free(d, p), p = NULL;
	free(none);
	return p;
}

optimizer *optimizer_new(
    const optimizer_options *options, int count, const shape *shapes, const bool *elsewhere, const device *d, error *e)
{
	optimizer *o = calloc(1, sizeof *o);
	if (!o) goto no_memory;
	o->options = *options;
	o->device = d;
	o->shapes = calloc((size_t)count + 1, sizeof *o->shapes);
	o->states = calloc((size_t)count + 1, sizeof *o->states);
	o->elsewhere = calloc((size_t)count + 1, sizeof *o->elsewhere);
	if (!o->shapes || !o->states || !o->elsewhere) goto no_memory;
	o->count = count;
	for (int i = 0; i < count; i++) {
		o->shapes[i] = shapes[i];
		if ((o->elsewhere[i] = elsewhere && elsewhere[i])) continue;
		step s = step_of(options, shapes[i]);
		for (int p = 0; p < s.count; p++)
			if (!(o->states[i][p] = zeros(d, piece_bytes(&s.pieces[p]), e))) goto no_memory;
	}
	return o;
no_memory:
	fail(e, NO_MEMORY, "no memory for the optimizer's state (%zu bytes)", optimizer_bytes(options, count, shapes));
	optimizer_free(o);
	return NULL;
}

void optimizer_free(optimizer *o)
{
	if (!o) return;
	for (int i = 0; o->states && i < o->count; i++)
		for (int p = 0; p < PIECES; p++) device_free(o->device, o->states[i][p]);
	free(o->states);
	free(o->shapes);
	free(o->elsewhere);
	free(o);
}

void optimizer_begin(optimizer *o) { o->steps++; }

void optimizer_numbers(const optimizer *o, float rate, double numbers[NUMBERS])
{
	const optimizer_options *how = &o->options;
	double beta1 = (double)how->beta1, beta2 = (double)how->beta2, t = (double)o->steps;
	memset(numbers, 0, NUMBERS * sizeof *numbers);
	numbers[0] = 1 - (double)rate * (double)how->weight_decay;
	switch (how->kind) {
	case SGD:
		numbers[1] = (double)rate;
		numbers[2] = (double)how->momentum;
		break;
	case ADAFACTOR:
		numbers[1] = (double)rate;
		numbers[2] = 1 - pow(t, -0.8);
		break;
	default:
		numbers[1] = (double)rate / (1 - pow(beta1, t));
		numbers[2] = 1 / sqrt(1 - pow(beta2, t));
		numbers[3] = 1 - beta1;
		numbers[4] = beta2;
		numbers[5] = 1 - beta2;
		numbers[6] = (double)how->epsilon;
	}
}

tensor optimizer_emit(
    const optimizer *o, graph *g, int index, tensor weight, tensor gradient, tensor scale, tensor numbers)
{
	if (o->elsewhere[index]) return 0;
	step s = step_of(&o->options, o->shapes[index]);
	tensor state[PIECES] = { 0 };
	for (int p = 0; p < s.count; p++)
		state[p] = array_param(g, s.pieces[p].name, s.pieces[p].dtype, s.pieces[p].shape, o->states[index][p]);
	return update_weight(g, s.op, weight, gradient, scale, numbers, state);
}

bool optimizer_state(const optimizer *o, int index, int p, optimizer_piece *piece)
{
	step s = step_of(&o->options, o->shapes[index]);
	if (p >= s.count) return false;
	*piece = s.pieces[p];
	piece->data = o->states[index][p];
	return true;
}

int64_t optimizer_steps(const optimizer *o) { return o->steps; }

void optimizer_set_steps(optimizer *o, int64_t steps) { o->steps = steps; }
