/* outputs.c - writes tensors that are made of weights of other files. */
#include "checkpoint/outputs.h"
#include "checkpoint/types.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 16 }; /* elements converted at once */

output *outputs_add(outputs *o, const char *name, int ndims, const int64_t *axes, error *e)
{
	if (o->count == o->room) {
		size_t room = o->room ? 2 * o->room : 1024;
		output *more = realloc(o->list, room * sizeof *more);
		if (!more) return fail(e, NO_MEMORY, "out of memory for %zu tensors", room), NULL;
		o->list = more;
		o->room = room;
	}
	output *t = &o->list[o->count];
	*t = (output){ .name = strdup(name), .from = I64, .type = I64, .ndims = ndims };
	if (!t->name) return fail(e, NO_MEMORY, "out of memory"), NULL;
	for (int i = 0; i < ndims; i++) t->shape[i] = axes[i];
	o->count++;
	return t;
}

static dtype written_type(const outputs *o, const output *t)
{
	bool keeps = !dtype_is_float(t->from) || t->from == F64 || o->type == NO_DTYPE;
	if (o->gguf) return gguf_stored_type(keeps ? NO_DTYPE : o->type, t->from, t->name, t->ndims, t->shape);
	if (keeps) return dtype_block(t->from) > 1 ? F16 : t->from;
	return stored_type(o->type, t->ndims);
}

void output_transpose(output *t)
{
	t->transposed = true;
	if (dtype_block(t->type) > 1 && t->type == t->from) t->type = F16;
}

bool output_take(outputs *o, output *t, const weight *w, size_t first, size_t count, error *e)
{
	size_t all = weight_elements(w);
	if (w->dtype == NO_DTYPE)
		return fail(e, BAD_FILE, "'%s' has dtype %s, which cannot be copied", w->name, w->type_name);
	if (t->parts && w->dtype != t->from)
		return fail(e, BAD_FILE, "'%s' has another dtype than the rest of '%s'", w->name, t->name);
	if (t->parts == OUTPUT_PARTS || first > all || count > all - first)
		return fail(e, BAD_FILE, "'%s' has %zu elements, expected %zu", w->name, all, first + count);
	t->from = w->dtype;
	t->split |= first % dtype_block(w->dtype) || count % dtype_block(w->dtype);
	t->type = written_type(o, t);
	if (t->split && t->type == t->from) t->type = F16;
	t->part[t->parts].w = w;
	t->part[t->parts].first = first;
	t->part[t->parts++].count = count;
	return true;
}

static bool overflows(float x, dtype d) { return isfinite(x) && fabsf(x) >= dtype_overflow(d); }

/* Where the elements of a part lie, the first of them, and their type; copy: those of a transposed matrix, to be freed.
 * Quantised ones are copied as floats. */
typedef struct elements {
	const char *data;
	dtype type;
	size_t first;
	char *copy;
} elements;

static bool elements_of(const output *t, int part, elements *y, error *e)
{
	size_t first = t->part[part].first, rows = (size_t)t->shape[0], columns = rows ? t->part[part].count / rows : 0;
	const weight *w = t->part[part].w;
	*y = (elements){ w->data, t->from, first, NULL };
	if (!t->transposed) return true;
	y->type = dtype_block(t->from) > 1 ? F32 : t->from;
	size_t size = dtype_size(y->type), bytes = rows * columns * size;
	char *copy = malloc(2 * bytes + 1), *plain = copy ? copy + bytes : NULL;
	if (!copy) return fail(e, NO_MEMORY, "no memory for '%s'", t->name);
	convert_from(plain, y->type, w->data, t->from, first, rows * columns);
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < columns; j++)
			memcpy(copy + (i * columns + j) * size, plain + (j * rows + i) * size, size);
	y->data = y->copy = copy;
	y->first = 0;
	return true;
}

typedef bool piece_fn(void *context, float *values, size_t n, error *e);

/* Gives the values of a part, as f32, a piece at a time. */
static bool each_piece(const output *t, int part, piece_fn *take, void *context, error *e)
{
	size_t n = t->part[part].count;
	elements from;
	bool fine = elements_of(t, part, &from, e);
	float *values = malloc(PIECE * sizeof *values);
	fine = fine && (values || fail(e, NO_MEMORY, "out of memory"));
	for (size_t i = 0; fine && i < n; i += PIECE) {
		size_t some = n - i < PIECE ? n - i : PIECE;
		convert_from(values, F32, from.data, from.type, from.first + i, some);
		fine = take(context, values, some, e);
	}
	free(from.copy);
	free(values);
	return fine;
}

typedef struct overflow {
	const output *now;
	const char *first; /* tensor with a value that is too large */
	float value;       /* that value */
	size_t count;
	int tensors;
} overflow;

static bool count_overflows(void *context, float *values, size_t n, error *e)
{
	overflow *o = context;
	(void)e;
	for (size_t i = 0; i < n; i++) {
		if (!overflows(values[i], o->now->type)) continue;
		if (!o->first) o->first = o->now->name, o->value = values[i];
		o->count++;
	}
	return true;
}

bool outputs_fit(const outputs *o, error *e)
{
	overflow y = { 0 };
	for (size_t i = 0; i < o->count; i++) {
		const output *t = &o->list[i];
		bool narrower = dtype_is_float(t->type) && t->type != t->from && t->type != F32;
		size_t before = y.count;
		y.now = t;
		for (int part = 0; narrower && part < t->parts; part++)
			if (!each_piece(t, part, count_overflows, &y, e)) return false;
		y.tensors += y.count > before;
	}
	return !y.count ||
	       fail(e, BAD_FILE,
	           "%zu values of %d tensors are too large for the type, such as %g in '%s'; --clamp writes the "
	           "largest there is in their place",
	           y.count, y.tensors, (double)y.value, y.first);
}

typedef struct narrowing {
	weights_writer *out;
	const output *t;
	void *narrow; /* [PIECE] of t->type */
} narrowing;

static bool write_piece(void *context, float *values, size_t n, error *e)
{
	const narrowing *y = context;
	dtype type = y->t->type;
	for (size_t i = 0; i < n; i++)
		if (overflows(values[i], type)) values[i] = copysignf(dtype_largest(type), values[i]);
	convert(y->narrow, type, values, F32, n);
	return weights_writer_append(y->out, y->narrow, dtype_bytes(type, n), e);
}

static bool write_converted(weights_writer *out, const output *t, int part, error *e)
{
	narrowing y = { out, t, malloc(dtype_bytes(t->type, PIECE)) };
	bool fine = (y.narrow || fail(e, NO_MEMORY, "out of memory")) && each_piece(t, part, write_piece, &y, e);
	free(y.narrow);
	return fine;
}

static bool write_numbers(weights_writer *out, const output *t, error *e)
{
	int64_t n = 1;
	for (int i = 0; i < t->ndims; i++) n *= t->shape[i];
	for (int64_t i = 0; i < n; i++)
		if (!weights_writer_append(out, &i, sizeof i, e)) return false;
	return true;
}

static bool write_same(weights_writer *out, const output *t, int part, error *e)
{
	elements from;
	bool fine = elements_of(t, part, &from, e);
	const char *data = fine ? from.data + dtype_bytes(from.type, from.first) : NULL;
	fine = fine && weights_writer_append(out, data, dtype_bytes(from.type, t->part[part].count), e);
	free(from.copy);
	return fine;
}

static bool write_one(weights_writer *out, const output *t, const checkpoint *source, error *e)
{
	bool fine = t->parts || write_numbers(out, t, e);
	for (int i = 0; fine && i < t->parts; i++) {
		const weight *w = t->part[i].w;
		fine = (t->type == t->from ? write_same : write_converted)(out, t, i, e);
		checkpoint_advise_unused(source, w->data, w->bytes);
	}
	return fine;
}

static bool report_progress(outputs_progress *p, error *e)
{
	p->done++;
	if (!p->listener || !p->listener->progress) return true;
	return !p->listener->progress(p->listener->context, "write", p->done, p->all) || fail(e, STOPPED, "stopped");
}

static bool find_not_finite(void *context, float *values, size_t n, error *e)
{
	float value;
	(void)e;
	*(bool *)context |= first_not_finite(values, F32, n, &value) < n;
	return true;
}

/* Whether it holds NaN or infinity, of which no picture comes. */
static bool holds_no_numbers(const output *t, bool *found, error *e)
{
	*found = false;
	for (int i = 0; i < t->parts && dtype_is_float(t->from); i++)
		if (!each_piece(t, i, find_not_finite, found, e)) return false;
	return true;
}

static void warn(const sumi_listener *l, int count, const char *first)
{
	char text[400];
	if (!count || !l || !l->note) return;
	snprintf(text, sizeof text,
	    "%d of the tensors hold%s NaN or infinity, such as '%.200s'; they are written as they are", count,
	    count == 1 ? "s" : "", first);
	l->note(l->context, SUMI_WARNING, text);
}

bool outputs_write(const outputs *o, const char *path, const char *const (*metadata)[2], const checkpoint *source,
    outputs_progress *p, error *e)
{
	weights_writer *out = weights_writer_new(path, e);
	bool fine = out != NULL;
	int bad = 0;
	const char *first = NULL;
	for (; fine && (*metadata)[0]; metadata++)
		if ((*metadata)[1]) fine = weights_writer_metadata(out, (*metadata)[0], (*metadata)[1], e);
	for (size_t i = 0; fine && i < o->count; i++) {
		const output *t = &o->list[i];
		fine = weights_writer_declare(out, t->name, t->type, t->ndims, t->shape, e);
	}
	for (size_t i = 0; fine && i < o->count; i++) {
		bool found;
		fine =
		    holds_no_numbers(&o->list[i], &found, e) && write_one(out, &o->list[i], source, e) && report_progress(p, e);
		if (fine && found && !bad++) first = o->list[i].name;
	}
	if (fine) warn(p->listener, bad, first);
	if (fine) return weights_writer_finish(out, e);
	weights_writer_abort(out);
	return false;
}

void outputs_free(outputs *o)
{
	for (size_t i = 0; i < o->count; i++) free(o->list[i].name);
	free(o->list);
	*o = (outputs){ 0 };
}
