/* merge.c - merged weights take the place of the file's. */
#include "checkpoint/merge.h"
#include "backend/backend.h"
#include "base/resources.h"
#include "checkpoint/adapters.h"
#include "checkpoint/checkpoint_table.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct merging {
	checkpoint *c;
	const adapted *list;
	int count;
	bool exact;
	role role;
	error *e;
} merging;

/* What one weight's graph reads. */
typedef struct binding {
	const merging *m;
	const weight *w;
} binding;

static bool bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const binding *b = context;
	(void)s, (void)e;
	if (lora_bind(b->m->list, b->m->count, name, d, data)) return true;
	*d = b->w->dtype;
	*data = b->w->data;
	return true;
}

static bool compute(graph *g, tensor merged, const binding *b, float *values, error *e)
{
	keep(g, merged);
	return graph_bind(g, bind, (void *)(uintptr_t)b, e) && graph_compile(g, backend_cpu(), usable_cpus(), e) &&
	       graph_allocate(g, NULL, NULL, e) && graph_run(g, NULL, NULL, e) && graph_read_floats(g, merged, values, e);
}

/* The entry's weight becomes a copy of itself with these values. */
static bool replace(const merging *m, const char *key, const weight *w, const float *values, error *e)
{
	size_t n = weight_elements(w);
	dtype type = m->exact && m->role < TEXT_ENCODER ? F32 : dtype_block(w->dtype) > 1 ? F16 : w->dtype;
	for (size_t i = 0; i < n; i++) /* what is too large for it is counted, or cut off, as it is written */
		if (isfinite(values[i]) && fabsf(values[i]) >= dtype_overflow(type)) type = F32;
	merged_weight *y = malloc(sizeof *y + n * dtype_size(type));
	if (!y) return fail(e, NO_MEMORY, "out of memory for '%s'", key);
	y->weight = *w;
	y->weight.dtype = type;
	y->weight.bytes = n * dtype_size(type);
	y->weight.data = y->values;
	convert(y->values, type, values, F32, n);
	y->next = m->c->merged;
	m->c->merged = y;
	for (size_t i = 0; i < m->c->count; i++)
		if (m->c->entries[i].weight == w) m->c->entries[i].weight = &y->weight;
	return true;
}

/* Whether the file has this weight, in the network's shape; it fails where it should have. */
static bool is_usable(const merging *m, const parameter *p, const weight *w)
{
	key_piece pieces[MAX_PIECES];
	const weight *found[MAX_PIECES];
	const component *c = &m->c->components[m->role];
	if (!w && component_pieces(c, &m->c->family, m->role, p->name, p->shape, pieces, found))
		return fail(m->e, BAD_FILE, "'%s' lies in pieces in that folder: convert it to a single file first", p->name);
	if (!w && p->optional) return false;
	if (!w) return fail(m->e, BAD_FILE, "no tensor '%s'", p->name);
	if (!dtype_is_float(w->dtype))
		return fail(m->e, BAD_FILE, "'%s' has dtype %s: not a float type", w->name, w->type_name);
	return shape_agrees(w, p->shape) || fail(m->e, BAD_FILE, "'%s' has another shape than the network", w->name);
}

static void merge_one(void *context, const parameter *p)
{
	merging *m = context;
	if (failed(m->e) || p->buffer) return;
	binding b = { m, checkpoint_find(m->c, p->name) };
	graph *g = graph_new(REAL);
	if (!g) {
		fail(m->e, NO_MEMORY, "out of memory for a graph");
		return;
	}
	tensor plain = param(g, p->name, p->shape);
	set_trainable(g, plain, true); /* so that it is computed by a run, and not folded */
	tensor wide = cast(g, plain, REAL), merged = lora_merge(g, m->list, m->count, p->name, wide);
	if (merged != wide && is_usable(m, p, b.w)) {
		float *values = malloc(shape_count(p->shape) * sizeof *values);
		if (!values) fail(m->e, NO_MEMORY, "out of memory for '%s'", p->name);
		if (values && compute(g, merged, &b, values, m->e)) replace(m, p->name, b.w, values, m->e);
		free(values);
	}
	graph_free(g);
}

static void report(const adapter_file *a, const sumi_listener *l)
{
	char text[1024];
	int unused = lora_unmatched(a->set);
	if (!l || !l->note) return;
	snprintf(text, sizeof text, "LoRA: %.400s changes %d layers", a->path, lora_matched(a->set));
	l->note(l->context, SUMI_DETAIL, text);
	snprintf(text, sizeof text, "%.300s: %d of its tensors or modules are not used, such as %.200s", a->path, unused,
	    unused ? lora_unmatched_name(a->set, 0) : "");
	if (unused) l->note(l->context, SUMI_WARNING, text);
	snprintf(text, sizeof text, "%.300s: %s", a->path, a->doubt);
	if (*a->doubt) l->note(l->context, SUMI_WARNING, text);
}

static bool open_all(
    adapter_list *l, const family *f, const char *const *loras, int count, const sumi_listener *listener, error *e)
{
	char path[PATH_MAX];
	for (int i = 0; i < count; i++) {
		const char *strengths;
		if (!adapter_argument(loras[i], path, sizeof path, &strengths, e)) return false;
		const adapter_file *a = adapters_add(l, f, path, strengths, e);
		if (!a) return false;
		report(a, listener);
	}
	return true;
}

bool checkpoint_merge(
    checkpoint *c, const char *const *loras, int count, bool exact, const sumi_listener *listener, error *e)
{
	adapter_list files = { 0 }, none = { 0 };
	adapted *list = NULL;
	merging m = { .c = c, .exact = exact, .e = e };
	bool fine =
	    open_all(&files, &c->family, loras, count, listener, e) && adapters_join(&files, &none, &list, &m.count, e);
	m.list = list;
	for (m.role = 0; fine && m.role < FAMILY_ROLES; m.role++)
		if (c->components[m.role].from) fine = family_parameters(&c->family, m.role, merge_one, &m, e) && !failed(e);
	free(list);
	adapters_close(&files);
	return fine;
}
