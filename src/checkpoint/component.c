/* component.c - a component's weights by the keys of the single-file layout. */
#include "checkpoint/component.h"
#include <limits.h>
#include <stdint.h>
#include <stdio.h>

bool weight_as_tensor(const weight *w, dtype *d, shape *s, const void **data)
{
	if (!w || w->ndims > MAX_DIMS) return false;
	*d = w->dtype;
	*s = (shape){ .n = w->ndims };
	for (int i = 0; i < w->ndims; i++) {
		if (w->shape[i] > INT_MAX) return false;
		s->d[i] = (int)w->shape[i];
	}
	if (data) *data = w->data;
	return true;
}

bool weights_lookup(void *context, const char *key, dtype *d, shape *s, const void **data)
{
	return weight_as_tensor(weights_find(context, key), d, s, data);
}

bool component_locate(component *c, family *f, role r, const weights *from)
{
	dialect d;
	if (!from || !dialect_find(f, r, weights_lookup, (void *)(uintptr_t)from, &d)) return false;
	*c = (component){ from, d };
	return true;
}

const weight *component_find(const component *c, const family *f, role r, const char *key, shape s)
{
	key_piece pieces[MAX_PIECES];
	if (!c->from || dialect_pieces(&c->dialect, f, r, key, s, pieces) != 1) return NULL;
	char other[sizeof pieces[0].name];
	const weight *w = weights_find(c->from, pieces[0].name);
	for (int i = 0; !w && dialect_synonym(r, pieces[0].name, i, other, sizeof other); i++)
		w = weights_find(c->from, other);
	return w;
}
