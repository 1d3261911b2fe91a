/* outputs.c - writes tensors that are made of weights of other files. */
#include "checkpoint/outputs.h"
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
	t->type = o->type != NO_DTYPE && dtype_is_float(w->dtype) && w->dtype != F64 ? o->type : w->dtype;
	t->part[t->parts].w = w;
	t->part[t->parts].first = first;
	t->part[t->parts++].count = count;
	return true;
}

static bool write_converted(weights_writer *out, const char *from, dtype type, const output *t, size_t n, error *e)
{
	size_t size = dtype_size(t->from);
	void *values = malloc(PIECE * dtype_size(type));
	bool fine = values || fail(e, NO_MEMORY, "out of memory");
	for (size_t i = 0; fine && i < n; i += PIECE) {
		size_t some = n - i < PIECE ? n - i : PIECE;
		convert(values, type, from + i * size, t->from, some);
		fine = weights_writer_append(out, values, some * dtype_size(type), e);
	}
	free(values);
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

static bool write_one(weights_writer *out, const output *t, const checkpoint *source, error *e)
{
	bool fine = t->parts || write_numbers(out, t, e);
	for (int i = 0; fine && i < t->parts; i++) {
		const weight *w = t->part[i].w;
		size_t size = dtype_size(t->from), n = t->part[i].count;
		const char *from = (const char *)w->data + t->part[i].first * size;
		fine = t->type == t->from ? weights_writer_append(out, from, n * size, e)
		                          : write_converted(out, from, t->type, t, n, e);
		checkpoint_advise_unused(source, w->data, w->bytes);
	}
	return fine;
}

static bool heard(outputs_progress *p, error *e)
{
	p->done++;
	if (!p->listener || !p->listener->progress) return true;
	return !p->listener->progress(p->listener->context, "write", p->done, p->all) || fail(e, STOPPED, "stopped");
}

bool outputs_write(const outputs *o, const char *path, const char *const (*metadata)[2], const checkpoint *source,
    outputs_progress *p, error *e)
{
	weights_writer *out = weights_writer_new(path, e);
	bool fine = out != NULL;
	for (; fine && (*metadata)[0]; metadata++)
		if ((*metadata)[1]) fine = weights_writer_metadata(out, (*metadata)[0], (*metadata)[1], e);
	for (size_t i = 0; fine && i < o->count; i++) {
		const output *t = &o->list[i];
		fine = weights_writer_declare(out, t->name, t->type, t->ndims, t->shape, e);
	}
	for (size_t i = 0; fine && i < o->count; i++) fine = write_one(out, &o->list[i], source, e) && heard(p, e);
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
