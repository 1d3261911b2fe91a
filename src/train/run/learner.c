/* learner.c - the weights of a training run. */
#include "train/run/learner.h"
#include "backend/backend.h"
#include "checkpoint/checkpoint.h"
#include <stdlib.h>
#include <string.h>

void learner_free(learner *m)
{
	for (int i = 0; i < m->count; i++) {
		learner_weight *w = &m->weights[i];
		free(w->name);
		if (w->own_value != w->value) device_free(learner_backend(m)->device, w->own_value);
		if (w->own_average != w->average) device_free(learner_backend(m)->device, w->own_average);
		free(w->value);
		free(w->average);
		if (w->owned) free((void *)w->bytes);
	}
	free(m->weights);
	free(m->vocabulary);
	*m = (learner){ 0 };
}

static learner_weight *append(learner *m, const char *name, shape s, error *e)
{
	if (m->count == m->capacity) {
		int capacity = m->capacity ? 2 * m->capacity : 256;
		learner_weight *more = realloc(m->weights, (size_t)capacity * sizeof *more);
		if (!more) return fail(e, NO_MEMORY, "no memory for the list of weights"), NULL;
		m->weights = more;
		m->capacity = capacity;
	}
	learner_weight *w = &m->weights[m->count];
	*w = (learner_weight){ .name = strdup(name), .shape = s };
	if (!w->name) return fail(e, NO_MEMORY, "no memory for the list of weights"), NULL;
	m->count++;
	return w;
}

typedef struct adding {
	learner *m;
	role role;
	bool trained;
	tensor_lookup *lookup;
	void *context;
	uint64_t seed;
	error *e;
	bool optional; /* what is added now may be missing */
} adding;

static void describe(shape s, char *text, size_t size)
{
	size_t n = 0;
	text[0] = 0;
	for (int i = 0; i < s.n && n < size; i++) n += (size_t)snprintf(text + n, size - n, i ? ",%d" : "%d", s.d[i]);
}

/* Where to find the pieces of a weight that is not whole; false: it has none. Frozen, it keeps its file's type. */
static bool from_pieces(adding *a, learner_weight *w, error *e)
{
	key_piece keys[MAX_PIECES];
	const weight *found[MAX_PIECES];
	if (a->lookup != checkpoint_lookup) return false;
	const component *c = checkpoint_component(a->context, a->role);
	int count = component_pieces(c, &a->m->family, a->role, w->name, w->shape, keys, found);
	for (int i = 0; i < count; i++) {
		if (!shape_agrees(found[i], keys[i].shape))
			return fail(e, BAD_FILE, "the weight '%s' has another shape than '%s' needs", found[i]->name, w->name);
		if (!dtype_is_float(found[i]->dtype))
			return fail(e, BAD_FILE, "the weight '%s' is %s, no float", found[i]->name, dtype_name(found[i]->dtype));
		w->pieces[i] = (learner_piece){ found[i]->data, found[i]->dtype, keys[i].rows, keys[i].swapped };
		bool same = !i || w->dtype == found[i]->dtype;
		w->dtype = same && dtype_size(found[i]->dtype) ? found[i]->dtype : F32;
	}
	w->piece_count = count;
	w->unfilled = count > 0;
	return count > 0;
}

static bool make_room(learner_weight *w, error *e)
{
	size_t n = shape_count(w->shape);
	w->owned = !w->trained;
	if (w->trained)
		w->value = malloc(n * sizeof *w->value);
	else
		w->bytes = malloc(dtype_bytes(w->dtype, n));
	return w->value || w->bytes || fail(e, NO_MEMORY, "no memory for '%s'", w->name);
}

static bool from_file(adding *a, learner_weight *w, error *e)
{
	dtype d;
	shape s;
	const void *data = NULL;
	if (!a->lookup(a->context, w->name, &d, &s, &data) && from_pieces(a, w, e)) return make_room(w, e);
	if (failed(e)) return false;
	if (!data) return a->optional || fail(e, BAD_FILE, "the weight '%s' is missing", w->name);
	if (!shape_alike(s, w->shape)) {
		char found[64], expected[64];
		describe(s, found, sizeof found);
		describe(w->shape, expected, sizeof expected);
		return fail(e, BAD_FILE, "the weight '%s' is [%s], expected [%s]", w->name, found, expected);
	}
	w->bytes = data;
	w->dtype = d;
	if (!w->trained) return true;
	if (!dtype_is_float(d)) return fail(e, BAD_FILE, "the weight '%s' is %s, no float", w->name, dtype_name(d));
	if (!(w->value = malloc(shape_count(s) * sizeof *w->value)))
		return fail(e, NO_MEMORY, "no memory for '%s'", w->name);
	return w->unfilled = true;
}

static bool from_seed(adding *a, learner_weight *w, const parameter *p, error *e)
{
	void *values = malloc(shape_count(p->shape) * dtype_size(p->dtype) + 1);
	if (!values) return fail(e, NO_MEMORY, "no memory for '%s'", w->name);
	if (w->trained) {
		w->value = values;
		w->seed = a->seed;
		w->start = p->start;
		w->zero = p->zero;
		return w->unfilled = true;
	}
	parameter_fill(p, a->seed, true, values);
	w->bytes = values;
	w->dtype = p->dtype;
	w->owned = true;
	return true;
}

static void add_parameter(void *context, const parameter *p)
{
	adding *a = context;
	if (failed(a->e)) return;
	learner_weight *w = append(a->m, p->name, p->shape, a->e);
	if (!w) return;
	w->buffer = p->buffer;
	w->trained = a->trained && !p->buffer;
	a->optional = p->optional;
	if (a->lookup) {
		from_file(a, w, a->e);
		if (p->optional && !w->bytes && !w->value) { /* a file may lack it: then the product does too */
			free(w->name);
			a->m->count--;
		}
	} else {
		from_seed(a, w, p, a->e);
	}
}

bool learner_add_part(learner *m, role r, bool trained, tensor_lookup *lookup, void *context, uint64_t seed, error *e)
{
	error own = { 0 };
	adding a = { m, r, trained, lookup, context, seed, &own, false };
	if (!family_parameters(&m->family, r, add_parameter, &a, e)) return false;
	return !failed(&own) || fail(e, own.status, "%s", own.text);
}

/* The rows of a piece whose halves are exchanged go to each other's place. */
static void join_pieces(learner_weight *w)
{
	dtype d = w->trained ? F32 : w->dtype;
	char *to = w->trained ? (char *)w->value : (char *)(uintptr_t)w->bytes;
	size_t row = shape_count(w->shape) / (size_t)w->shape.d[0];
	for (int i = 0; i < w->piece_count; i++) {
		const learner_piece *p = &w->pieces[i];
		size_t all = (size_t)p->rows * row, half = p->swapped ? (size_t)(p->rows / 2) * row : 0;
		const char *from = p->bytes;
		convert_from(to, d, from, p->dtype, half, all - half);
		convert(to + (all - half) * dtype_size(d), d, from, p->dtype, half);
		to += all * dtype_size(d);
	}
	w->unfilled = false;
}

static void fill_weight(learner_weight *w)
{
	if (!w->unfilled) return;
	if (w->piece_count) {
		join_pieces(w);
		return;
	}
	parameter p = { .name = w->name, .shape = w->shape, .dtype = F32, .start = w->start, .zero = w->zero };
	if (w->bytes)
		convert(w->value, F32, w->bytes, w->dtype, shape_count(w->shape));
	else
		parameter_fill(&p, w->seed, true, w->value);
	w->bytes = NULL;
	w->unfilled = false;
}

void learner_fill(learner *m)
{
	for (int i = 0; i < m->count; i++) fill_weight(&m->weights[i]);
}

bool learner_add(learner *m, const char *name, shape s, float value, error *e)
{
	learner_weight *w = append(m, name, s, e);
	if (!w) return false;
	size_t n = shape_count(s);
	w->trained = true;
	if (!(w->value = malloc(n * sizeof *w->value))) return fail(e, NO_MEMORY, "no memory for '%s'", name);
	for (size_t i = 0; i < n; i++) w->value[i] = value;
	return true;
}

bool learner_add_helper(learner *m, const char *name, shape s, dtype d, const void *bytes, error *e)
{
	learner_weight *w = append(m, name, s, e);
	if (!w) return false;
	w->helper = true;
	w->bytes = bytes;
	w->dtype = d;
	return true;
}

void learner_freeze(learner *m, const char *beginning)
{
	for (int i = 0; i < m->count; i++) {
		learner_weight *w = &m->weights[i];
		if (!w->trained || strncmp(w->name, beginning, strlen(beginning))) continue;
		fill_weight(w);
		w->trained = false;
		w->bytes = w->value;
		w->dtype = F32;
		w->owned = true;
		w->value = NULL;
	}
}

const backend *learner_backend(const learner *m) { return m->backend ? m->backend : backend_cpu(); }

static bool settle(const learner *m, const learner_weight *w, float *host, float **own, error *e)
{
	const device *d = learner_backend(m)->device;
	size_t bytes = shape_count(w->shape) * sizeof(float);
	if (!host || *own) return true;
	*own = d ? device_alloc(d, bytes) : host;
	return *own ? !d || device_write(d, *own, host, bytes, e)
	            : fail(e, NO_MEMORY, "no memory for '%s' on %s", w->name, d->name);
}

bool learner_settle(learner *m, error *e)
{
	for (int i = 0; i < m->count; i++) {
		learner_weight *w = &m->weights[i];
		if (!w->trained) continue;
		fill_weight(w);
		if (!settle(m, w, w->value, &w->own_value, e) || !settle(m, w, w->average, &w->own_average, e)) return false;
	}
	return true;
}

typedef bool move_fn(const device *d, void *to, const void *from, size_t bytes, error *e);

static bool move_all(learner *m, bool up, error *e)
{
	const device *d = learner_backend(m)->device;
	move_fn *move = up ? device_write : device_read;
	for (int i = 0; d && i < m->count; i++) {
		learner_weight *w = &m->weights[i];
		size_t bytes = shape_count(w->shape) * sizeof(float);
		float *host[] = { w->value, w->average }, *own[] = { w->own_value, w->own_average };
		for (int k = 0; k < 2; k++)
			if (own[k] && !move(d, up ? own[k] : host[k], up ? host[k] : own[k], bytes, e)) return false;
	}
	return true;
}

bool learner_upload(learner *m, error *e) { return move_all(m, true, e); }
bool learner_download(learner *m, error *e) { return move_all(m, false, e); }

bool learner_start_average(learner *m, error *e)
{
	for (int i = 0; i < m->count; i++) {
		learner_weight *w = &m->weights[i];
		size_t bytes = shape_count(w->shape) * sizeof(float);
		if (!w->trained || w->group || w->average) continue;
		if (!(w->average = malloc(bytes))) return fail(e, NO_MEMORY, "no memory for the average of '%s'", w->name);
		fill_weight(w);
		memcpy(w->average, w->value, bytes);
	}
	return learner_settle(m, e);
}

learner_weight *learner_find(const learner *m, const char *name)
{
	for (int i = 0; i < m->count; i++)
		if (!strcmp(m->weights[i].name, name)) return &m->weights[i];
	return NULL;
}

int64_t learner_parameters(const learner *m, bool trained_only)
{
	int64_t n = 0;
	for (int i = 0; i < m->count; i++)
		if (!m->weights[i].helper && (m->weights[i].trained || (!trained_only && !m->weights[i].buffer)))
			n += (int64_t)shape_count(m->weights[i].shape);
	return n;
}

size_t learner_joined_bytes(const learner *m)
{
	size_t bytes = 0;
	for (int i = 0; i < m->count; i++) {
		const learner_weight *w = &m->weights[i];
		if (w->piece_count && !w->trained) bytes += dtype_bytes(w->dtype, shape_count(w->shape));
	}
	return bytes;
}

bool learner_bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	learner_weight *w = learner_find(context, name);
	if (w) fill_weight(w);
	return learner_bind_unfilled(context, name, s, d, data, e);
}

bool learner_bind_unfilled(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const learner_weight *w = learner_find(context, name);
	if (!w || !shape_same(w->shape, s)) return fail(e, BAD_FILE, "the model has no weight '%s' of that shape", name);
	*d = w->value ? F32 : w->dtype;
	*data = w->value ? (const void *)(w->own_value ? w->own_value : w->value) : w->bytes;
	return true;
}

int learner_mark_trained(const learner *m, graph *g, tensor *nodes, int *indices)
{
	int n = 0;
	for (int i = 0; i < m->count; i++) {
		if (!m->weights[i].trained) continue;
		tensor t = find(g, m->weights[i].name);
		if (t) set_trainable(g, t, true);
		nodes[n] = t;
		indices[n++] = i;
	}
	return n;
}
