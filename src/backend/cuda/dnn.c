/* dnn.c - convolutions by cuDNN's graph API: a graph of one operation, the heuristics' engines in their order, and of
 * those the first that will run it and gives the same bits in every run. */
#include "backend/cuda/dnn.h"
#include <stdlib.h>
#include <string.h>

/* Numbers of cuDNN 9's headers: descriptor types, attribute types, attributes, modes, notes. */
enum {
	DESC_CONVOLUTION = 1,
	DESC_ENGINE_HEUR = 4,
	DESC_ENGINE_CONFIG = 3,
	DESC_PLAN = 5,
	DESC_ENGINE = 2,
	DESC_FORWARD = 10,
	DESC_BY_WEIGHT = 11,
	DESC_BY_DATA = 12,
	DESC_GRAPH = 15,
	DESC_VARIANT = 16,
	DESC_TENSOR = 17,

	TYPE_HANDLE = 0,
	TYPE_DATA_TYPE = 1,
	TYPE_INT64 = 3,
	TYPE_FLOAT = 4,
	TYPE_POINTER = 6,
	TYPE_CONVOLUTION_MODE = 7,
	TYPE_HEUR_MODE = 8,
	TYPE_NOTE = 11,
	TYPE_DESCRIPTOR = 15,

	CONVOLUTION_COMPUTE = 100,
	CONVOLUTION_MODE = 101,
	CONVOLUTION_DILATIONS = 102,
	CONVOLUTION_STRIDES = 103,
	CONVOLUTION_POST_PADDINGS = 104,
	CONVOLUTION_PRE_PADDINGS = 105,
	CONVOLUTION_DIMENSIONS = 106,
	HEUR_MODE = 200,
	HEUR_GRAPH = 201,
	HEUR_RESULTS = 202,
	CONFIG_ENGINE = 300,
	PLAN_HANDLE = 400,
	PLAN_CONFIG = 401,
	PLAN_WORKSPACE = 402,
	FORWARD_ALPHA = 700, /* beta, convolution, weight, picture, result follow */
	BY_DATA_ALPHA = 706,
	BY_WEIGHT_ALPHA = 712,
	GRAPH_HANDLE = 800,
	GRAPH_OPERATIONS = 801,
	TENSOR_ALIGNMENT = 900,
	TENSOR_TYPE = 901,
	TENSOR_DIMENSIONS = 902,
	TENSOR_STRIDES = 903,
	TENSOR_ID = 906,
	VARIANT_IDS = 1000,
	VARIANT_POINTERS = 1001,
	VARIANT_WORKSPACE = 1003,
	ENGINE_INDEX = 1301,
	ENGINE_NOTES = 1303,

	CROSS_CORRELATION = 1,
	HEUR_FALLBACK = 2,
	HEUR_A = 3,
	NOTE_TENSOR_CORE = 0,
	NOTE_DOWN_CONVERT = 1,
	NOTE_REDUCED_PRECISION = 2,
	NOTE_FFT = 3,
	NOTE_NONDETERMINISTIC = 4,
	NOTE_WINOGRAD = 5,
	NOTES = 16,
};

enum { PICTURE = 1, WEIGHT, RESULT, ALIGNMENT = 16 };
enum { CANDIDATES = 16 };
static const size_t most_workspace = (size_t)1 << 30;

struct dnn_plan {
	dnn_shape shape;
	void *plan; /* NULL: no engine */
	size_t workspace;
	int engine;
	struct dnn_plan *next;
};

struct dnn {      /* of one GPU, alive until the program ends */
	void *handle; /* for one thread at a time: calls stand between gpu_enter() and gpu_leave() */
	dnn_plan *plans;
};

static const dnn_functions *dnn(void) { return cuda_libraries_find()->dnn; }

/* ── descriptors: once something failed, the rest does nothing ── */

typedef struct builder {
	int status;
	void *made[32];
	int count;
} builder;

static void *make(builder *b, int type)
{
	void *d = NULL;
	if (!b->status) b->status = dnn()->make(type, &d);
	if (d) b->made[b->count++] = d;
	return d;
}

static void set(builder *b, void *d, int name, int type, int64_t count, const void *elements)
{
	if (!b->status) b->status = dnn()->set(d, name, type, count, elements);
}

static void finish(builder *b, void *d)
{
	if (!b->status) b->status = dnn()->finalize(d);
}

static void destroy_all(builder *b)
{
	for (int i = b->count - 1; i >= 0; i--) dnn()->destroy(b->made[i]);
	b->count = 0;
}

static int data_type(dtype d) { return d == F32 ? 0 : 9; }

/* [n, c, h, w] as cuDNN counts, c fastest in memory */
static void *tensor_of(builder *b, int64_t id, dtype d, int n, int h, int w, int c)
{
	int64_t dims[] = { n, c, h, w }, strides[] = { (int64_t)h * w * c, 1, (int64_t)w * c, c }, alignment = ALIGNMENT;
	int type = data_type(d);
	void *t = make(b, DESC_TENSOR);
	set(b, t, TENSOR_TYPE, TYPE_DATA_TYPE, 1, &type);
	set(b, t, TENSOR_DIMENSIONS, TYPE_INT64, 4, dims);
	set(b, t, TENSOR_STRIDES, TYPE_INT64, 4, strides);
	set(b, t, TENSOR_ID, TYPE_INT64, 1, &id);
	set(b, t, TENSOR_ALIGNMENT, TYPE_INT64, 1, &alignment);
	finish(b, t);
	return t;
}

static void *convolution_of(builder *b, const dnn_shape *s)
{
	int64_t ones[] = { 1, 1 }, strides[] = { s->stride, s->stride }, before[] = { s->top, s->left };
	int64_t after[] = { s->bottom, s->right }, dimensions = 2;
	int compute = data_type(F32), mode = CROSS_CORRELATION;
	void *c = make(b, DESC_CONVOLUTION);
	set(b, c, CONVOLUTION_COMPUTE, TYPE_DATA_TYPE, 1, &compute);
	set(b, c, CONVOLUTION_MODE, TYPE_CONVOLUTION_MODE, 1, &mode);
	set(b, c, CONVOLUTION_DIMENSIONS, TYPE_INT64, 1, &dimensions);
	set(b, c, CONVOLUTION_DILATIONS, TYPE_INT64, 2, ones);
	set(b, c, CONVOLUTION_STRIDES, TYPE_INT64, 2, strides);
	set(b, c, CONVOLUTION_PRE_PADDINGS, TYPE_INT64, 2, before);
	set(b, c, CONVOLUTION_POST_PADDINGS, TYPE_INT64, 2, after);
	finish(b, c);
	return c;
}

/* The attributes of the three operations stand in other orders: after alpha and beta come the convolution, then forward
 * w, x, y; by data w, dx, dy; by weight dw, x, dy. */
static void *operation_of(builder *b, const dnn_shape *s)
{
	static const int types[] = { DESC_FORWARD, DESC_BY_DATA, DESC_BY_WEIGHT };
	static const int first[] = { FORWARD_ALPHA, BY_DATA_ALPHA, BY_WEIGHT_ALPHA };
	const float one = 1, zero = 0;
	dtype weight = s->kind == DNN_BY_WEIGHT ? s->weight_type : s->type;
	void *x = tensor_of(b, PICTURE, s->type, s->images, s->height, s->width, s->in);
	void *w = tensor_of(b, WEIGHT, weight, s->out, s->kernel_height, s->kernel_width, s->in);
	void *y = tensor_of(b, RESULT, s->type, s->images, s->result_height, s->result_width, s->out);
	void *c = convolution_of(b, s), *o = make(b, types[s->kind]);
	int a = first[s->kind];
	set(b, o, a, TYPE_FLOAT, 1, &one);
	set(b, o, a + 1, TYPE_FLOAT, 1, &zero);
	set(b, o, a + 2, TYPE_DESCRIPTOR, 1, &c);
	set(b, o, a + 3, TYPE_DESCRIPTOR, 1, &w);
	set(b, o, a + 4, TYPE_DESCRIPTOR, 1, &x);
	set(b, o, a + 5, TYPE_DESCRIPTOR, 1, &y);
	finish(b, o);
	return o;
}

/* ── engines ── */

/* Not what changes from run to run, nor what computes less exactly than the types say. */
static bool is_exact(const dnn_shape *s, void *config, int *index)
{
	builder b = { 0 };
	void *engine = make(&b, DESC_ENGINE);
	int notes[NOTES];
	int64_t count = 0, which = 0, one;
	bool fine = !b.status && !dnn()->get(config, CONFIG_ENGINE, TYPE_DESCRIPTOR, 1, &one, &engine) &&
	            !dnn()->get(engine, ENGINE_NOTES, TYPE_NOTE, NOTES, &count, notes);
	if (fine) dnn()->get(engine, ENGINE_INDEX, TYPE_INT64, 1, &one, &which);
	for (int64_t i = 0; fine && i < count && i < NOTES; i++) {
		bool rounds = notes[i] == NOTE_DOWN_CONVERT || notes[i] == NOTE_TENSOR_CORE;
		fine = notes[i] != NOTE_NONDETERMINISTIC && notes[i] != NOTE_REDUCED_PRECISION && notes[i] != NOTE_FFT;
		fine = fine && notes[i] < NOTE_WINOGRAD && !(rounds && s->type == F32);
	}
	*index = (int)which;
	destroy_all(&b);
	return fine;
}

/* Makes the plan of a configuration; NULL: the engine will not. */
static void *plan_of(struct dnn *d, void *config, size_t *workspace)
{
	builder b = { 0 };
	int64_t bytes = 0, count = 0;
	void *plan = make(&b, DESC_PLAN);
	set(&b, plan, PLAN_HANDLE, TYPE_HANDLE, 1, &d->handle);
	set(&b, plan, PLAN_CONFIG, TYPE_DESCRIPTOR, 1, &config);
	finish(&b, plan);
	if (!b.status) b.status = dnn()->get(plan, PLAN_WORKSPACE, TYPE_INT64, 1, &count, &bytes);
	if (!b.status && (size_t)bytes <= most_workspace) {
		*workspace = (size_t)bytes;
		return plan;
	}
	destroy_all(&b);
	return NULL;
}

static bool try_engines(struct dnn *d, dnn_plan *p, void *whole, int mode)
{
	builder b = { 0 };
	void *heuristics = make(&b, DESC_ENGINE_HEUR), *configs[CANDIDATES] = { NULL };
	int64_t count = 0;
	set(&b, heuristics, HEUR_GRAPH, TYPE_DESCRIPTOR, 1, &whole);
	set(&b, heuristics, HEUR_MODE, TYPE_HEUR_MODE, 1, &mode);
	finish(&b, heuristics);
	for (int i = 0; i < CANDIDATES; i++) configs[i] = make(&b, DESC_ENGINE_CONFIG);
	if (!b.status) b.status = dnn()->get(heuristics, HEUR_RESULTS, TYPE_DESCRIPTOR, CANDIDATES, &count, configs);
	for (int64_t i = 0; !b.status && i < count && i < CANDIDATES && !p->plan; i++)
		if (is_exact(&p->shape, configs[i], &p->engine)) p->plan = plan_of(d, configs[i], &p->workspace);
	if (!p->plan) destroy_all(&b); /* a plan may refer to what it was made of; plans live as long as the program */
	return p->plan != NULL;
}

static void find_plan(struct dnn *d, dnn_plan *p)
{
	builder b = { 0 };
	void *operation = operation_of(&b, &p->shape), *whole = make(&b, DESC_GRAPH);
	set(&b, whole, GRAPH_OPERATIONS, TYPE_DESCRIPTOR, 1, &operation);
	set(&b, whole, GRAPH_HANDLE, TYPE_HANDLE, 1, &d->handle);
	finish(&b, whole);
	if (!b.status && !try_engines(d, p, whole, HEUR_A)) try_engines(d, p, whole, HEUR_FALLBACK);
	if (!p->plan) destroy_all(&b);
}

const dnn_plan *dnn_find(gpu *g, const dnn_shape *s, size_t *workspace)
{
	struct dnn *d = g->dnn;
	gpu_enter(g);
	dnn_plan *p = d->plans;
	while (p && memcmp(&p->shape, s, sizeof *s)) p = p->next;
	if (!p && (p = calloc(1, sizeof *p))) {
		p->shape = *s;
		find_plan(d, p);
		p->next = d->plans;
		d->plans = p;
	}
	gpu_leave(g);
	if (!p || !p->plan) return NULL;
	*workspace = p->workspace;
	return p;
}

bool dnn_run(
    gpu *g, const dnn_plan *p, const void *picture, const void *weight, const void *result, void *workspace, error *e)
{
	builder b = { 0 };
	int64_t ids[] = { PICTURE, WEIGHT, RESULT };
	const void *pointers[] = { picture, weight, result };
	void *variant = make(&b, DESC_VARIANT);
	set(&b, variant, VARIANT_IDS, TYPE_INT64, 3, ids);
	set(&b, variant, VARIANT_POINTERS, TYPE_POINTER, 3, pointers);
	set(&b, variant, VARIANT_WORKSPACE, TYPE_POINTER, 1, &workspace);
	finish(&b, variant);
	gpu_enter(g);
	if (!b.status) b.status = dnn()->execute(g->dnn->handle, p->plan, variant);
	gpu_leave(g);
	destroy_all(&b);
	return !b.status || fail(e, NO_MEMORY, "cuDNN: engine %d failed with status %d", p->engine, b.status);
}

bool dnn_attach(gpu *g, const cuda_stream *stream, error *e)
{
	if (!dnn()) return true;
	struct dnn *d = calloc(1, sizeof *d);
	if (!d) return fail(e, NO_MEMORY, "out of memory");
	int code = dnn()->create(&d->handle);
	if (!code) code = dnn()->stream_set(d->handle, stream->stream);
	if (code) {
		free(d);
		return fail(e, NO_MEMORY, "cuDNN does not start: status %d", code);
	}
	g->dnn = d;
	return true;
}
