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

bool shape_agrees(const weight *w, shape s)
{
	shape found;
	dtype d;
	return weight_as_tensor(w, &d, &found, NULL) && shape_alike(found, s);
}

bool weights_lookup(void *context, const char *key, dtype *d, shape *s, const void **data)
{
	return weight_as_tensor(weights_find(context, key), d, s, data);
}

/* Some files of CLIP's encoders leave out a projection that would be the identity. */
static void leave_out_projection(const component *c, family *f, role r)
{
	text_config *t = &f->text[r - TEXT_ENCODER];
	char key[PREFIX_LENGTH + 32];
	if (t->kind != CLIP_TEXT || !t->pooled || t->clip.projection != t->clip.width) return;
	snprintf(key, sizeof key, "%s%s%s", f->prefix[r], *f->prefix[r] ? "." : "",
	    t->clip.fused ? "text_projection" : "text_projection.weight");
	if (!component_find(c, f, r, key, shape2(t->clip.width, t->clip.width))) t->clip.projection = 0;
}

bool component_locate(component *c, family *f, role r, const weights *from)
{
	dialect d;
	if (!from || !dialect_find(f, r, weights_lookup, (void *)(uintptr_t)from, &d)) return false;
	*c = (component){ from, d };
	if (r >= TEXT_ENCODER && r < FAMILY_ROLES) leave_out_projection(c, f, r);
	return true;
}

static const weight *find_name(const component *c, role r, const char *name)
{
	char other[sizeof((key_piece *)0)->name];
	const weight *w = weights_find(c->from, name);
	for (int i = 0; !w && dialect_synonym(r, name, i, other, sizeof other); i++) w = weights_find(c->from, other);
	return w;
}

int component_pieces(const component *c, const family *f, role r, const char *key, shape s,
    key_piece pieces[MAX_PIECES], const weight *found[MAX_PIECES])
{
	int count = c->from ? dialect_pieces(&c->dialect, f, r, key, s, pieces) : 0;
	for (int i = 0; i < count; i++)
		if (!(found[i] = find_name(c, r, pieces[i].name))) return 0;
	return count;
}

const weight *component_find(const component *c, const family *f, role r, const char *key, shape s)
{
	key_piece pieces[MAX_PIECES];
	const weight *found[MAX_PIECES];
	char whole[512];
	int number = piece_number(key, whole, sizeof whole);
	int count = component_pieces(c, f, r, number < 0 ? key : whole, s, pieces, found);
	if (number < 0) return count == 1 && !in_pieces(pieces, count) ? found[0] : NULL;
	return number < count ? found[number] : NULL;
}
