/* lora.c - a file's adapters: keys sorted into modules, modules resolved to the weights that they change. */
#include "nn/lora.h"
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

typedef struct factor {
	dtype dtype;
	shape shape;
	const void *data;
} factor;

typedef struct adapter {
	char *module; /* as the file spells it */
	factor down, up, alpha;
	char *weight; /* what it changes; NULL: unmatched */
	shape shape;  /* of the whole weight */
	int first, rows;
} adapter;

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

static bool set_aside(lora *l, const char *name, error *e)
{
	if (l->unmatched_count == l->unmatched_capacity) {
		int capacity = l->unmatched_capacity ? 2 * l->unmatched_capacity : 64;
		char **names = realloc(l->unmatched, (size_t)capacity * sizeof *names);
		if (!names) return out_of_memory(e);
		l->unmatched = names;
		l->unmatched_capacity = capacity;
	}
	char *c = copy(name, strlen(name));
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
	l->list[l->count] = (adapter){ .module = c };
	return &l->list[l->count++];
}

enum { DOWN, UP, ALPHA };

static const struct {
	const char *ending;
	int part;
} endings[] = {
	{ ".lora_down.weight", DOWN }, { ".lora_up.weight", UP }, { ".alpha", ALPHA },      /* kohya */
	{ ".lora_A.weight", DOWN }, { ".lora_B.weight", UP },                               /* PEFT */
	{ ".lora_A.default.weight", DOWN }, { ".lora_B.default.weight", UP },               /* PEFT, unmerged names */
	{ ".lora.down.weight", DOWN }, { ".lora.up.weight", UP },                           /* diffusers */
	{ "_lora.down.weight", DOWN }, { "_lora.up.weight", UP },                           /* its attention processors */
	{ ".lora_linear_layer.down.weight", DOWN }, { ".lora_linear_layer.up.weight", UP }, /* its text encoder */
	{ ":down", DOWN }, { ":up", UP },                                                   /* cloneofsimo */
};

bool lora_add(lora *l, const char *key, dtype d, shape s, const void *data, error *e)
{
	size_t n = strlen(key);
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t m = strlen(endings[i].ending);
		if (n <= m || strcmp(key + n - m, endings[i].ending)) continue;
		bool alpha = endings[i].part == ALPHA;
		if (!dtype_is_float(d) || (alpha ? shape_count(s) != 1 : s.n != 2 && s.n != 4))
			return fail(e, BAD_FILE, "LoRA tensor '%s' has %d axes of %s, expected %s", key, s.n, dtype_name(d),
			    alpha ? "one number" : "2 or 4 of floating point");
		adapter *a = adapter_of(l, key, n - m);
		if (!a) return out_of_memory(e);
		factor *f = alpha ? &a->alpha : endings[i].part == DOWN ? &a->down : &a->up;
		*f = (factor){ d, s, data };
		return true;
	}
	return set_aside(l, key, e);
}

static bool is_size(shape s, int a, int b, int c)
{
	return s.d[0] == a && s.d[1] == b && shape_count(s) == (size_t)a * (size_t)b * (size_t)c;
}

/* up [rows,rank(,1,1)] times down [rank,in(,k,k)] must be the weight's rows. */
static bool fits(const adapter *a, lora_target t)
{
	if (!t.weight || !a->down.data || !a->up.data) return false;
	shape w = t.shape;
	if (w.n < 2 || t.first < 0 || t.rows < 0 || t.first > w.d[0] - t.rows) return false;
	int area = (int)(shape_count(w) / ((size_t)w.d[0] * (size_t)w.d[1]));
	int rank = a->down.shape.d[0];
	return is_size(a->up.shape, t.rows ? t.rows : w.d[0], rank, 1) && is_size(a->down.shape, rank, w.d[1], area);
}

bool lora_resolve(lora *l, lora_resolve_fn *resolve, void *context, error *e)
{
	for (int i = 0; i < l->count; i++) {
		adapter *a = &l->list[i];
		lora_target t = resolve(context, a->module);
		if (!fits(a, t)) {
			if (!set_aside(l, a->module, e)) return false;
			continue;
		}
		if (!(a->weight = copy(t.weight, strlen(t.weight)))) return out_of_memory(e);
		a->shape = t.shape;
		a->first = t.first;
		a->rows = t.rows ? t.rows : t.shape.d[0];
		l->matched++;
	}
	return true;
}

int lora_matched(const lora *l) { return l->matched; }
int lora_unmatched(const lora *l) { return l->unmatched_count; }
const char *lora_unmatched_name(const lora *l, int i) { return l->unmatched[i]; }

/* alpha/rank, 1 where the file has no alpha. */
static float scale_of(const adapter *a)
{
	float alpha = (float)a->down.shape.d[0];
	if (a->alpha.data) convert(&alpha, F32, a->alpha.data, a->alpha.dtype, 1);
	return alpha / (float)a->down.shape.d[0];
}

static tensor factor_node(graph *g, const char *name, int set, int index, const char *part, shape s)
{
	char whole[256];
	snprintf(whole, sizeof whole, "%s.lora.%d.%d.%s", name, set, index, part);
	return cast(g, param(g, whole, s), REAL);
}

static tensor merge_one(graph *g, const adapter *a, float strength, const char *name, int set, int index, tensor w)
{
	shape s = a->shape;
	tensor up = factor_node(g, name, set, index, "up", a->up.shape);
	tensor down = factor_node(g, name, set, index, "down", a->down.shape);
	up = reshape(g, up, shape2(a->rows, -1));
	down = reshape(g, down, shape2(a->down.shape.d[0], -1));
	tensor change = affine(g, matmul(g, up, down, false, false, REAL), strength * scale_of(a), 0);
	change = pad(g, change, 0, a->first, s.d[0]);
	return add(g, w, reshape(g, change, s));
}

tensor lora_merge(graph *g, const adapted *sets, int count, const char *name, tensor w)
{
	if (!count || !w) return w;
	char whole[1024];
	snprintf(whole, sizeof whole, "%s%s", scope_of(g), name);
	shape s = shape_of(g, w);
	for (int k = 0; k < count; k++)
		for (int i = 0; i < sets[k].set->count; i++) {
			const adapter *a = &sets[k].set->list[i];
			if (!a->weight || strcmp(a->weight, whole) || !shape_same(a->shape, s)) continue;
			w = merge_one(g, a, sets[k].strength, name, k, i, cast(g, w, REAL));
		}
	return w;
}

bool lora_bind(const adapted *sets, int count, const char *name, dtype *d, const void **data)
{
	const char *at = NULL;
	for (const char *p = name; (p = strstr(p, ".lora.")); p++) at = p;
	int set, index;
	char part[8];
	if (!at || sscanf(at, ".lora.%d.%d.%7s", &set, &index, part) != 3) return false;
	if (set < 0 || set >= count || index < 0 || index >= sets[set].set->count) return false;
	const adapter *a = &sets[set].set->list[index];
	const factor *f = !strcmp(part, "up") ? &a->up : &a->down;
	*d = f->dtype;
	*data = f->data;
	return true;
}
