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

static void look_through(search *s, const char *name, const void *data, dtype d, size_t count)
{
	float value;
	size_t at = first_not_finite(data, d, count, &value);
	if (at < count)
		snprintf(s->found, sizeof s->found, "'%s' holds %s at element %zu of %zu", name,
		    isnan(value) ? "NaN" : "infinity", at, count);
}

static void look_into(search *s, const char *name, shape of)
{
	dtype d;
	const void *data;
	if (s->found[0] || !model_bind((void *)(uintptr_t)s->m, name, of, &d, &data, NULL)) return;
	look_through(s, name, data, d, shape_count(of));
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

static bool add_to_message(const search *s, const char *path, error *e)
{
	char text[400];
	if (!s->found[0]) return false;
	snprintf(text, sizeof text, "%.399s", e->text);
	snprintf(e->text, sizeof e->text, "%.200s: the weight %s (%.400s)", path, s->found, text);
	return true;
}

bool blame_weights(const model *m, error *e)
{
	search s = { .m = m };
	for (int i = 0; i < FAMILY_ROLES && !s.found[0]; i++) family_parameters(&m->family, (role)i, look_at, &s, NULL);
	return add_to_message(&s, m->path, e);
}

bool blame_file(const weights *file, error *e)
{
	error found = { 0 };
	char text[400];
	if (!file || weights_are_finite(file, &found)) return false;
	snprintf(text, sizeof text, "%.399s", e->text);
	snprintf(e->text, sizeof e->text, "%.500s (%.400s)", found.text, text);
	return true;
}
