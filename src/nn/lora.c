/* lora.c - a file's adapters: keys sorted into modules, modules resolved to the weights that they change. */
#include "nn/lora_parts.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lora {
	adapter *list;
	int count, capacity, matched;
	char **unmatched;
	int unmatched_count, unmatched_capacity;
};

lora *lora_new(void) { return calloc(1, sizeof(lora)); }

void lora_free(lora *l)
{
	if (!l) return;
	for (int i = 0; i < l->count; i++) {
		free(l->list[i].module);
		free(l->list[i].weight);
		free(l->list[i].bias);
		free(l->list[i].rotation);
	}
	for (int i = 0; i < l->unmatched_count; i++) free(l->unmatched[i]);
	free(l->unmatched);
	free(l->list);
	free(l);
}

static char *copy(const char *s, size_t n)
{
	char *c = malloc(n + 1);
	if (!c) return NULL;
	memcpy(c, s, n);
	c[n] = 0;
	return c;
}

static bool out_of_memory(error *e) { return fail(e, NO_MEMORY, "out of memory for the names of a LoRA"); }

static bool set_aside(lora *l, error *e, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool set_aside(lora *l, error *e, const char *format, ...)
{
	char text[512];
	va_list list;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	if (l->unmatched_count == l->unmatched_capacity) {
		int capacity = l->unmatched_capacity ? 2 * l->unmatched_capacity : 64;
		char **names = realloc(l->unmatched, (size_t)capacity * sizeof *names);
		if (!names) return out_of_memory(e);
		l->unmatched = names;
		l->unmatched_capacity = capacity;
	}
	char *c = copy(text, strlen(text));
	if (!c) return out_of_memory(e);
	l->unmatched[l->unmatched_count++] = c;
	return true;
}

static adapter *adapter_of(lora *l, const char *module, size_t n)
{
	for (int i = l->count - 1; i >= 0; i--) /* a file's keys come sorted: the latest is the likely one */
		if (strlen(l->list[i].module) == n && !memcmp(l->list[i].module, module, n)) return &l->list[i];
	if (l->count == l->capacity) {
		int capacity = l->capacity ? 2 * l->capacity : 256;
		adapter *list = realloc(l->list, (size_t)capacity * sizeof *list);
		if (!list) return NULL;
		l->list = list;
		l->capacity = capacity;
	}
	char *c = copy(module, n);
	if (!c) return NULL;
	l->list[l->count] = (adapter){ .module = c, .share = 1 };
	return &l->list[l->count++];
}

bool lora_add(lora *l, const char *key, dtype d, shape s, const void *data, error *e)
{
	size_t n;
	lora_part p = lora_part_of(key, &n);
	if (p == LORA_PARTS) return set_aside(l, e, "%s: no part of a kind of LoRA that is known", key);
	bool single = p == ALPHA || p == ON_INPUT;
	if (!data || d == NO_DTYPE || (single ? shape_count(s) != 1 : !dtype_is_float(d)))
		return fail(e, BAD_FILE, "LoRA tensor '%s' has %d axes of %s, expected %s", key, s.n, dtype_name(d),
		    single ? "one number" : "floating point");
	adapter *a = adapter_of(l, key, n);
	if (!a) return out_of_memory(e);
	a->part[p] = (lora_factor){ d, s, data };
	return true;
}

int lora_modules(const lora *l) { return l->count; }
const char *lora_module(const lora *l, int i) { return l->list[i].module; }
int lora_rank(const lora *l, int i) { return lora_rank_of(&l->list[i]); }

bool lora_has_alpha(const lora *l, int i)
{
	const adapter *a = &l->list[i];
	return a->part[ALPHA].data || a->alpha_told || !lora_rank_of(a);
}

void lora_set_alpha(lora *l, int i, float alpha, bool root_of_rank)
{
	adapter *a = &l->list[i];
	a->alpha_told = true;
	a->alpha = alpha;
	a->root_of_rank = root_of_rank;
}

/* ── resolving ── */

/* "….weight" has its bias at "….bias", OpenCLIP's "….in_proj_weight" at "….in_proj_bias". */
static char *bias_of(const char *weight)
{
	size_t n = strlen(weight);
	if (n < 6 || strcmp(weight + n - 6, "weight")) return NULL;
	char *bias = copy(weight, n);
	if (bias) memcpy(bias + n - 6, "bias", 5);
	return bias;
}

/* What of the module's parts can be used; false: nothing. */
static bool fit(adapter *a, lora_target t)
{
	shape w = t.shape;
	if (w.n < 1 || t.first < 0 || t.rows < 0 || t.first > w.d[0] - t.rows) return false;
	a->shape = w;
	a->first = t.first;
	a->rows = t.rows ? t.rows : w.d[0];
	a->swapped = t.swapped;
	a->in = w.n > 1 ? w.d[1] : 1;
	a->area = (int)(shape_count(w) / ((size_t)w.d[0] * (size_t)a->in));
	a->kind = lora_kind_of(a);
	bool of_bias =
	    t.bias && !t.swapped && a->part[DIFF_BIAS].data && shape_count(a->part[DIFF_BIAS].shape) == (size_t)a->rows;
	if (!of_bias) a->part[DIFF_BIAS].data = NULL;
	return a->kind || of_bias;
}

/* An earlier module that changes these rows too: files may hold one layer under two names. */
static const adapter *same_rows(const lora *l, const adapter *a)
{
	for (const adapter *x = l->list; a->weight && x < a; x++)
		if (x->weight && x->first < a->first + a->rows && a->first < x->first + x->rows &&
		    !strcmp(x->weight, a->weight))
			return x;
	return NULL;
}

static bool resolve_one(lora *l, adapter *a, lora_target t, error *e)
{
	bool bias_given = a->part[DIFF_BIAS].data != NULL;
	if (!t.weight) return set_aside(l, e, "%s: there is no such layer", a->module);
	if (!fit(a, t)) return set_aside(l, e, "%s: its tensors do not fit the layer, or some are missing", a->module);
	bool bias = a->part[DIFF_BIAS].data != NULL;
	if (bias_given && !bias && !set_aside(l, e, "%s.diff_b: the layer has no such bias", a->module)) return false;
	if (a->kind && !(a->weight = copy(t.weight, strlen(t.weight)))) return out_of_memory(e);
	if (bias && !(a->bias = bias_of(t.weight))) return out_of_memory(e);
	const adapter *other = same_rows(l, a);
	if (other) {
		free(a->weight);
		free(a->bias);
		a->weight = a->bias = NULL;
		a->kind = NULL;
		return set_aside(l, e, "%s: the same layer as %s, which is used", a->module, other->module);
	}
	l->matched++;
	return !lora_turns(a->kind) || lora_rotate(a, e);
}

bool lora_resolve(lora *l, lora_resolve_fn *resolve, void *context, error *e)
{
	for (int i = 0; i < l->count; i++)
		if (!resolve_one(l, &l->list[i], resolve(context, l->list[i].module), e)) return false;
	return true;
}

int lora_matched(const lora *l) { return l->matched; }
int lora_unmatched(const lora *l) { return l->unmatched_count; }
const char *lora_unmatched_name(const lora *l, int i) { return l->unmatched[i]; }

void lora_weigh(lora *l, lora_weigh_fn *weigh, void *context)
{
	for (adapter *a = l->list; a < l->list + l->count; a++)
		if (a->weight || a->bias) a->share = weigh(context, a->weight ? a->weight : a->bias);
}

/* ── merging ── */

/* w with the rows that the adapter changes in their new state. */
static tensor put_rows(graph *g, const adapter *a, tensor w, tensor changed)
{
	int all = dim(g, w, 0), last = a->first + a->rows;
	if (a->first) changed = concat(g, slice(g, w, 0, 0, a->first), changed, 0);
	return last < all ? concat(g, changed, slice(g, w, 0, last, all - last), 0) : changed;
}

static tensor swap_halves(graph *g, tensor w)
{
	int half = dim(g, w, 0) / 2;
	return concat(g, slice(g, w, 0, half, half), slice(g, w, 0, 0, half), 0);
}

static tensor merge_weight(graph *g, const adapter *a, float strength, const char *name, int set, int index, tensor w)
{
	shape part = a->shape;
	part.d[0] = a->rows;
	tensor rows = reshape(g, slice(g, w, 0, a->first, a->rows), shape3(a->rows, a->in, a->area));
	if (a->swapped) rows = swap_halves(g, rows);
	rows = lora_change(g, a, strength, name, set, index, rows);
	if (a->swapped) rows = swap_halves(g, rows);
	return put_rows(g, a, w, reshape(g, rows, part));
}

static tensor merge_bias(graph *g, const adapter *a, float strength, const char *name, int set, int index, tensor b)
{
	char whole[256];
	snprintf(whole, sizeof whole, "%s.lora.%d.%d.%s", name, set, index, lora_part_name(DIFF_BIAS));
	tensor change = cast(g, param(g, whole, shape1(a->rows)), REAL);
	return put_rows(g, a, b, add(g, slice(g, b, 0, a->first, a->rows), affine(g, change, strength, 0)));
}

static bool is(const char *name, const char *whole) { return name && !strcmp(name, whole); }

tensor lora_merge(graph *g, const adapted *sets, int count, const char *name, tensor w)
{
	if (!count || !w) return w;
	char whole[1024];
	snprintf(whole, sizeof whole, "%s%s", scope_of(g), name);
	shape s = shape_of(g, w);
	for (int k = 0; k < count; k++)
		for (int i = 0; i < sets[k].set->count; i++) {
			const adapter *a = &sets[k].set->list[i];
			float strength = sets[k].strength * a->share;
			if (strength == 0) continue;
			if (is(a->weight, whole) && shape_same(a->shape, s))
				w = merge_weight(g, a, strength, name, k, i, cast(g, w, REAL));
			else if (is(a->bias, whole) && s.n == 1 && s.d[0] == a->shape.d[0])
				w = merge_bias(g, a, strength, name, k, i, cast(g, w, REAL));
		}
	return w;
}

bool lora_bind(const adapted *sets, int count, const char *name, dtype *d, const void **data)
{
	const char *at = NULL;
	for (const char *p = name; (p = strstr(p, ".lora.")); p++) at = p;
	int set, index;
	char part[16];
	if (!at || sscanf(at, ".lora.%d.%d.%15s", &set, &index, part) != 3) return false;
	if (set < 0 || set >= count || index < 0 || index >= sets[set].set->count) return false;
	const adapter *a = &sets[set].set->list[index];
	for (int p = 0; p < LORA_PARTS; p++) {
		if (!a->part[p].data || strcmp(part, lora_part_name((lora_part)p))) continue;
		*d = a->part[p].dtype;
		*data = a->part[p].data;
		return true;
	}
	return false;
}
