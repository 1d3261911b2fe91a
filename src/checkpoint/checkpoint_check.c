/* checkpoint_check.c - compares a file with what its family's networks read. */
#include "checkpoint/checkpoint_table.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_shape(char *out, size_t size, int n, const int64_t *d)
{
	size_t at = (size_t)snprintf(out, size, "[");
	for (int i = 0; i < n && at < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? ", " : "", (long long)d[i]);
	if (at < size) snprintf(out + at, size - at, "]");
}

typedef struct check {
	const checkpoint *c;
	flaw_fn *report;
	void *context;
	role role;
	uint64_t parameters;
	bool *used; /* by place in sorted */
} check;

static void check_weight(check *k, const char *key, const weight *w, shape s)
{
	char text[512], found[128], wanted[128];
	int64_t d[MAX_DIMS];
	for (int i = 0; i < s.n; i++) d[i] = s.d[i];
	print_shape(found, sizeof found, w->ndims, w->shape);
	print_shape(wanted, sizeof wanted, s.n, d);
	if (!shape_agrees(w, s)) {
		snprintf(text, sizeof text, "%s: shape %s in the file, %s expected", key, found, wanted);
		k->report(k->context, MISSHAPED, text);
	} else if (!dtype_is_float(w->dtype)) {
		snprintf(text, sizeof text, "%s: dtype %s in the file, a float type expected", key, w->type_name);
		k->report(k->context, MISTYPED, text);
	}
}

static void check_parameter(void *context, const parameter *p)
{
	check *k = context;
	char text[512], key[512];
	key_piece pieces[MAX_PIECES];
	const weight *w[MAX_PIECES];
	int count = component_pieces(&k->c->components[k->role], &k->c->family, k->role, p->name, p->shape, pieces, w);
	bool parted = in_pieces(pieces, count);
	if (!p->buffer) k->parameters += shape_count(p->shape);
	if (!count) {
		snprintf(text, sizeof text, "%s: missing", p->name);
		if (!p->optional) k->report(k->context, MISSING, text);
	}
	for (int i = 0; i < count; i++) {
		if (parted) snprintf(key, sizeof key, "%.500s#%d", p->name, i);
		k->used[checkpoint_place(k->c, parted ? key : p->name)] = true;
		if (!p->buffer) check_weight(k, parted ? w[i]->name : p->name, w[i], parted ? pieces[i].shape : p->shape);
	}
}

static void check_rest(check *k)
{
	char text[512], found[128];
	for (size_t i = 0; i < k->c->count; i++) {
		const entry *y = k->c->sorted[i];
		if (k->used[i] || family_ignores(&k->c->family, y->key)) continue;
		print_shape(found, sizeof found, y->weight->ndims, y->weight->shape);
		snprintf(text, sizeof text, "%.300s: unexpected, %s %s", y->key, y->weight->type_name, found);
		k->report(k->context, UNEXPECTED, text);
	}
}

bool checkpoint_check(const checkpoint *c, flaw_fn *report, void *context, uint64_t *parameters, error *e)
{
	check k = { .c = c, .report = report, .context = context, .used = calloc(c->count + 1, sizeof(bool)) };
	if (!k.used) return fail(e, NO_MEMORY, "out of memory for %zu tensors", c->count);
	bool fine = true;
	for (k.role = 0; fine && k.role < FAMILY_ROLES; k.role++)
		if (c->components[k.role].from) fine = family_parameters(&c->family, k.role, check_parameter, &k, e);
	if (fine) check_rest(&k);
	free(k.used);
	*parameters = k.parameters;
	return fine;
}
