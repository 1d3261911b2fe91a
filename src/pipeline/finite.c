/* finite.c - looks for numbers that are none. */
#include "pipeline/finite.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

bool all_finite(const float *values, size_t n, const char *what, error *e)
{
	for (size_t i = 0; i < n; i++)
		if (!isfinite(values[i]))
			return fail(e, BAD_FILE, "%s: not finite: value %zu of %zu is %s", what, i, n,
			    isnan(values[i]) ? "NaN" : "infinite");
	return true;
}

typedef struct search {
	const model *m;
	char found[256];
} search;

/* Index of a tensor's first element that is NaN or infinite; count: none is. */
static size_t first_bad(const void *data, dtype d, size_t count, float *value)
{
	enum { BLOCK = 4096 };
	float block[BLOCK];
	for (size_t at = 0; at < count; at += BLOCK) {
		size_t n = count - at < BLOCK ? count - at : BLOCK;
		convert_from(block, F32, data, d, at, n);
		for (size_t i = 0; i < n; i++) {
			*value = block[i];
			if (!isfinite(block[i])) return at + i;
		}
	}
	return count;
}

static void look_into(search *s, const char *name, shape of)
{
	dtype d;
	const void *data;
	float value;
	if (s->found[0] || !model_bind((void *)(uintptr_t)s->m, name, of, &d, &data, NULL)) return;
	size_t count = shape_count(of), at = first_bad(data, d, count, &value);
	if (at < count)
		snprintf(s->found, sizeof s->found, "'%s' holds %s at element %zu of %zu", name,
		    isnan(value) ? "NaN" : "infinity", at, count);
}

static void look_at(void *context, const parameter *p)
{
	search *s = context;
	row_piece pieces[NN_PIECES];
	char name[512];
	int count = model_pieces(s->m, p->name, p->shape, pieces);
	if (!count) look_into(s, p->name, p->shape);
	for (int i = 0; i < count; i++) {
		shape of = p->shape;
		of.d[0] = pieces[i].rows;
		snprintf(name, sizeof name, "%.500s#%d", p->name, i);
		look_into(s, name, of);
	}
}

bool blame_weights(const model *m, error *e)
{
	search s = { .m = m };
	char text[400];
	memcpy(text, e->text, sizeof text - 1);
	text[sizeof text - 1] = 0;
	for (int i = 0; i < FAMILY_ROLES && !s.found[0]; i++) family_parameters(&m->family, (role)i, look_at, &s, NULL);
	if (s.found[0])
		snprintf(e->text, sizeof e->text, "%.200s: the weight %s (%.400s)", m->path, s.found, text);
	else
		snprintf(e->text, sizeof e->text, "%.400s (all weights of %.200s are finite)", text, m->path);
	return s.found[0];
}
