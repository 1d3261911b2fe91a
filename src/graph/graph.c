/* graph.c - building: nodes, names and scopes, leaves, the failure that sticks. */
#include "graph/internal.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct text {
	struct text *next;
	char s[];
} text;

shape shape1(int a) { return (shape){ 1, { a } }; }
shape shape2(int a, int b) { return (shape){ 2, { a, b } }; }
shape shape3(int a, int b, int c) { return (shape){ 3, { a, b, c } }; }
shape shape4(int a, int b, int c, int d) { return (shape){ 4, { a, b, c, d } }; }

size_t shape_count(shape s)
{
	size_t n = 1;
	for (int i = 0; i < s.n; i++) n *= (size_t)s.d[i];
	return n;
}

bool shape_same(shape a, shape b)
{
	if (a.n != b.n) return false;
	for (int i = 0; i < a.n; i++)
		if (a.d[i] != b.d[i]) return false;
	return true;
}

static shape without_ones(shape s)
{
	int first = 0;
	while (s.n && s.d[s.n - 1] == 1) s.n--;
	while (first < s.n && s.d[first] == 1) first++;
	shape cut = { .n = s.n - first };
	for (int i = 0; i < cut.n; i++) cut.d[i] = s.d[first + i];
	return cut;
}

bool shape_alike(shape a, shape b) { return shape_same(without_ones(a), without_ones(b)); }

bool broadcasts(shape small, shape big)
{
	if (small.n > big.n) return false;
	for (int i = 1; i <= small.n; i++) {
		int s = small.d[small.n - i];
		if (s != 1 && s != big.d[big.n - i]) return false;
	}
	return true;
}

graph *graph_new(dtype compute)
{
	graph *g = calloc(1, sizeof *g);
	if (!g) return NULL;
	g->compute = compute;
	g->count = 1;
	g->scope_name = "";
	return g;
}

static void free_steps(step *list, int n)
{
	for (int i = 0; i < n; i++)
		if (list[i].kernel && list[i].kernel->release && list[i].call.state)
			list[i].kernel->release(list[i].call.state);
	free(list);
}

void graph_free(graph *g)
{
	if (!g) return;
	free_stretches(g);
	free_steps(g->steps, g->step_count);
	free_steps(g->constant_steps, g->constant_step_count);
	for (text *t = g->texts, *next; t; t = next) {
		next = t->next;
		free(t);
	}
	free_streamed(g);
	free_memory(g);
	free(g->folds);
	free(g->nodes);
	free(g->places);
	free(g);
}

dtype graph_compute(const graph *g) { return g->compute; }
const node *node_of(const graph *g, tensor t) { return &g->nodes[t]; }
int node_count(const graph *g) { return g->count - 1; }
int axes(const graph *g, tensor t) { return t ? g->nodes[t].shape.n : 1; }
shape shape_of(const graph *g, tensor t) { return t ? g->nodes[t].shape : shape1(1); }
dtype dtype_of(const graph *g, tensor t) { return t ? g->nodes[t].dtype : NO_DTYPE; }
const error *graph_error(const graph *g) { return &g->error; }
size_t node_bytes(const graph *g, tensor t) { return dtype_bytes(g->nodes[t].dtype, shape_count(g->nodes[t].shape)); }

int dim(const graph *g, tensor t, int axis)
{
	if (!t) return 1;
	shape s = g->nodes[t].shape;
	if (axis < 0) axis += s.n;
	return axis >= 0 && axis < s.n ? s.d[axis] : 1;
}

bool graph_fail(graph *g, const char *format, ...)
{
	char message[512];
	va_list list;
	va_start(list, format);
	vsnprintf(message, sizeof message, format, list);
	va_end(list);
	return fail(&g->error, BAD_USAGE, "%s%s%s", g->scope_name, *g->scope_name ? ": " : "", message);
}

/* A copy that lives as long as the graph; "" after a failure. */
static const char *intern(graph *g, const char *s)
{
	size_t n = strlen(s) + 1;
	text *t = malloc(sizeof *t + n);
	if (!t) {
		fail(&g->error, NO_MEMORY, "out of memory for a name of %zu bytes", n);
		return "";
	}
	memcpy(t->s, s, n);
	t->next = g->texts;
	g->texts = t;
	return t->s;
}

static void name_scope(graph *g)
{
	char name[sizeof g->scope];
	size_t n = strlen(g->scope);
	memcpy(name, g->scope, n + 1);
	if (n) name[n - 1] = 0;
	g->scope_name = intern(g, name);
}

void push(graph *g, const char *format, ...)
{
	size_t n = strlen(g->scope), room = sizeof g->scope - n;
	if (g->depth == (int)(sizeof g->scope_ends / sizeof *g->scope_ends)) {
		graph_fail(g, "scopes nest deeper than %d", g->depth);
		return;
	}
	g->scope_ends[g->depth++] = (int)n;
	va_list list;
	va_start(list, format);
	int written = vsnprintf(g->scope + n, room, format, list);
	va_end(list);
	if (written < 0 || (size_t)written + 2 > room) {
		g->scope[n] = 0;
		graph_fail(g, "a scope's name is longer than %zu bytes", sizeof g->scope);
	} else if (written) {
		g->scope[n + (size_t)written] = '.';
		g->scope[n + (size_t)written + 1] = 0;
	}
	name_scope(g);
}

void pop(graph *g)
{
	if (!g->depth) return;
	g->scope[g->scope_ends[--g->depth]] = 0;
	name_scope(g);
}

const char *scope_of(const graph *g) { return g->scope; }

bool reserve_nodes(graph *g, int capacity)
{
	if (capacity <= g->capacity) return true;
	node *nodes = realloc(g->nodes, (size_t)capacity * sizeof *nodes);
	if (nodes) g->nodes = nodes;
	place *places = realloc(g->places, (size_t)capacity * sizeof *places);
	if (places) g->places = places;
	if (!nodes || !places) return fail(&g->error, NO_MEMORY, "out of memory for %d nodes", capacity);
	if (!g->capacity) memset(nodes, 0, sizeof *nodes), memset(places, 0, sizeof *places);
	g->capacity = capacity;
	return true;
}

static bool grow(graph *g) { return g->count < g->capacity || reserve_nodes(g, g->capacity ? 2 * g->capacity : 256); }

tensor emit(graph *g, int needed, node n)
{
	if (failed(&g->error)) return 0;
	for (int i = 0; i < needed; i++)
		if (!n.in[i]) return 0;
	if (g->compiled) {
		graph_fail(g, "%s: the graph is compiled already", operations[n.op].name);
		return 0;
	}
	if (!n.dtype) n.dtype = dtype_of(g, n.in[0]);
	if (!n.shape.n) n.shape = shape_of(g, n.in[0]);
	size_t count = 1;
	for (int i = 0; i < n.shape.n; i++) {
		if (n.shape.d[i] < 1 || count > (size_t)1 << 40) {
			graph_fail(g, "%s: axis %d of its result has %d elements", operations[n.op].name, i, n.shape.d[i]);
			return 0;
		}
		count *= (size_t)n.shape.d[i];
	}
	if (!grow(g)) return 0;
	if (!n.name) n.name = g->scope_name;
	n.block = g->block;
	g->nodes[g->count] = n;
	g->places[g->count] = (place){ .base = (tensor)g->count };
	return (tensor)g->count++;
}

static tensor leaf(graph *g, opcode op, const char *name, dtype d, shape s)
{
	char whole[sizeof g->scope + 256];
	snprintf(whole, sizeof whole, "%s%s", g->scope, name);
	tensor t = find(g, whole);
	if (t) {
		if (shape_same(g->nodes[t].shape, s) && g->nodes[t].op == op) return t;
		graph_fail(g, "'%s' is asked for twice, with different shapes", whole);
		return 0;
	}
	t = emit(g, 0, (node){ .op = op, .dtype = d, .shape = s });
	if (t) g->nodes[t].name = intern(g, whole), g->nodes[t].block = 0;
	return t;
}

tensor input(graph *g, const char *name, dtype d, shape s) { return leaf(g, INPUT, name, d, s); }
tensor param(graph *g, const char *name, shape s) { return leaf(g, PARAM, name, REAL, s); }

tensor array_param(graph *g, const char *name, dtype d, shape s, void *data)
{
	tensor t = leaf(g, PARAM, name, d, s);
	if (t) g->nodes[t].trainable = true, g->places[t].bound = data;
	return t;
}

tensor fill(graph *g, dtype d, shape s, float value)
{
	return emit(g, 0, (node){ .op = FILL, .dtype = d, .shape = s, .f = { value } });
}

tensor find(const graph *g, const char *name)
{
	for (int i = 1; i < g->count; i++) {
		const node *p = &g->nodes[i];
		if ((p->op == INPUT || p->op == PARAM) && !strcmp(p->name, name)) return (tensor)i;
	}
	return 0;
}

void keep(graph *g, tensor t)
{
	if (t) g->nodes[t].keep = true;
}

void graph_watch(graph *g, tensor t)
{
	if (t) g->nodes[t].watch = true, g->nodes[t].keep = false;
}

void set_trainable(graph *g, tensor parameter, bool trainable)
{
	if (parameter) g->nodes[parameter].trainable = trainable;
}

bool graph_bind(graph *g, bind_fn *lookup, void *context, error *e)
{
	for (int i = 1; i < g->count; i++) {
		node *p = &g->nodes[i];
		if (p->op != PARAM || g->places[i].bound) continue;
		const void *data = NULL;
		if (!lookup(context, p->name, p->shape, &p->dtype, &data, e)) return false;
		g->places[i].bound = data;
		g->places[i].unaligned = dtype_size(p->dtype) && (uintptr_t)data % dtype_size(p->dtype);
	}
	return true;
}

void graph_rebind(graph *g, tensor parameter, const void *data) { g->places[parameter].bound = data; }

void graph_recompute(graph *g, bool on) { g->recompute = on; }

void block_begin(graph *g)
{
	if (g->block_depth++ == 0) g->block = ++g->blocks;
}

void block_end(graph *g)
{
	if (g->block_depth && --g->block_depth == 0) g->block = 0;
}
