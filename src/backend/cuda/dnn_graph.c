/* dnn_graph.c - plans of cuDNN's graph API: descriptors, the heuristics' engines in their order, and of those the
 * first that will run the graph and gives the same bits in every run. */
#include "backend/cuda/dnn_graph.h"
#include <stdlib.h>
#include <string.h>

/* Numbers of cuDNN 9's headers, as in dnn_graph.h; and attributes, modes and notes. */
enum {
	DESC_ENGINE = 2,
	DESC_ENGINE_CONFIG = 3,
	DESC_ENGINE_HEUR = 4,
	DESC_PLAN = 5,
	DESC_GRAPH = 15,
	DESC_VARIANT = 16,
	DESC_TENSOR = 17,
	DESC_DEVICE = 38,

	TYPE_HANDLE = 0,
	TYPE_BOOLEAN = 2,
	TYPE_POINTER = 6,
	TYPE_HEUR_MODE = 8,
	TYPE_NOTE = 11,
	TYPE_DESCRIPTOR = 15,
	TYPE_CHAR = 24,

	HEUR_MODE = 200,
	HEUR_GRAPH = 201,
	HEUR_RESULTS = 202,
	HEUR_DEVICE = 204,
	CONFIG_ENGINE = 300,
	PLAN_HANDLE = 400,
	PLAN_CONFIG = 401,
	PLAN_WORKSPACE = 402,
	PLAN_DEVICE = 407,
	GRAPH_HANDLE = 800,
	GRAPH_OPERATIONS = 801,
	TENSOR_ALIGNMENT = 900,
	TENSOR_TYPE = 901,
	TENSOR_DIMENSIONS = 902,
	TENSOR_STRIDES = 903,
	TENSOR_ID = 906,
	TENSOR_IS_INNER = 907,
	TENSOR_IS_VALUE = 908,
	VARIANT_IDS = 1000,
	VARIANT_POINTERS = 1001,
	VARIANT_WORKSPACE = 1003,
	ENGINE_INDEX = 1301,
	ENGINE_NOTES = 1303,
	DEVICE_JSON = 2702,

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

enum { CANDIDATES = 16 };

struct dnn_plan {
	struct dnn_plan *next;
	void *plan; /* NULL: no engine */
	size_t workspace;
	int engine;
	size_t key_bytes;
	char key[];
};

struct dnn {         /* of one GPU, alive until the program ends */
	void *handle;    /* for one thread at a time: calls stand between gpu.enter and gpu.leave */
	void *described; /* in its place: a GPU that is not here, whose plans cannot run */
	dnn_plan *plans;
};

static const dnn_functions *dnn(void) { return cuda_libraries_find()->dnn; }

/* ── descriptors ── */

void *dnn_make(dnn_builder *b, int type)
{
	void *d = NULL;
	if (!b->status && b->count == sizeof b->made / sizeof *b->made) b->status = -1;
	if (!b->status) b->status = dnn()->make(type, &d);
	if (d) b->made[b->count++] = d;
	return d;
}

void dnn_set(dnn_builder *b, void *d, int name, int type, int64_t count, const void *elements)
{
	if (!b->status) b->status = dnn()->set(d, name, type, count, elements);
}

void dnn_set_descriptor(dnn_builder *b, void *d, int name, void *value)
{
	dnn_set(b, d, name, TYPE_DESCRIPTOR, 1, &value);
}

void dnn_finish(dnn_builder *b, void *d)
{
	if (!b->status) b->status = dnn()->finalize(d);
}

void dnn_add_operation(dnn_builder *b, void *operation)
{
	dnn_finish(b, operation);
	if (!b->status && b->operation_count == sizeof b->operations / sizeof *b->operations) b->status = -1;
	if (!b->status) b->operations[b->operation_count++] = operation;
}

void dnn_destroy_all(dnn_builder *b)
{
	for (int i = b->count - 1; i >= 0; i--) dnn()->destroy(b->made[i]);
	b->count = 0;
}

void *dnn_make_tensor(dnn_builder *b, const dnn_tensor *t)
{
	void *d = dnn_make(b, DESC_TENSOR);
	dnn_set(b, d, TENSOR_TYPE, DNN_TYPE_DATA_TYPE, 1, &t->type);
	dnn_set(b, d, TENSOR_DIMENSIONS, DNN_TYPE_INT64, 4, t->dimensions);
	dnn_set(b, d, TENSOR_STRIDES, DNN_TYPE_INT64, 4, t->strides);
	dnn_set(b, d, TENSOR_ID, DNN_TYPE_INT64, 1, &t->id);
	dnn_set(b, d, TENSOR_ALIGNMENT, DNN_TYPE_INT64, 1, &t->alignment);
	if (t->is_inner) dnn_set(b, d, TENSOR_IS_INNER, TYPE_BOOLEAN, 1, &t->is_inner);
	if (t->is_value) dnn_set(b, d, TENSOR_IS_VALUE, TYPE_BOOLEAN, 1, &t->is_value);
	dnn_finish(b, d);
	return d;
}

/* ── engines ── */

/* Not what changes from run to run, nor what computes less exactly than the types say. */
static bool will_do(void *config, bool exact, int *index)
{
	dnn_builder b = { 0 };
	void *engine = dnn_make(&b, DESC_ENGINE);
	int notes[NOTES];
	int64_t count = 0, which = 0, one;
	bool fine = !b.status && !dnn()->get(config, CONFIG_ENGINE, TYPE_DESCRIPTOR, 1, &one, &engine) &&
	            !dnn()->get(engine, ENGINE_NOTES, TYPE_NOTE, NOTES, &count, notes);
	if (fine) dnn()->get(engine, ENGINE_INDEX, DNN_TYPE_INT64, 1, &one, &which);
	for (int64_t i = 0; fine && i < count && i < NOTES; i++) {
		bool rounds = notes[i] == NOTE_DOWN_CONVERT || notes[i] == NOTE_TENSOR_CORE;
		fine = notes[i] != NOTE_NONDETERMINISTIC && notes[i] != NOTE_REDUCED_PRECISION && notes[i] != NOTE_FFT;
		fine = fine && notes[i] < NOTE_WINOGRAD && !(rounds && exact);
	}
	*index = (int)which;
	dnn_destroy_all(&b);
	return fine;
}

static void set_device(dnn_builder *b, const struct dnn *d, void *of, int handle, int described)
{
	if (d->described)
		dnn_set_descriptor(b, of, described, d->described);
	else if (handle)
		dnn_set(b, of, handle, TYPE_HANDLE, 1, &d->handle);
}

/* Makes the plan of a configuration; NULL: the engine will not. */
static void *plan_of(struct dnn *d, void *config, size_t most_workspace, size_t *workspace)
{
	dnn_builder b = { 0 };
	int64_t bytes = 0, count = 0;
	void *plan = dnn_make(&b, DESC_PLAN);
	set_device(&b, d, plan, PLAN_HANDLE, PLAN_DEVICE);
	dnn_set_descriptor(&b, plan, PLAN_CONFIG, config);
	dnn_finish(&b, plan);
	if (!b.status) b.status = dnn()->get(plan, PLAN_WORKSPACE, DNN_TYPE_INT64, 1, &count, &bytes);
	if (!b.status && (size_t)bytes <= most_workspace) {
		*workspace = (size_t)bytes;
		return plan;
	}
	dnn_destroy_all(&b);
	return NULL;
}

static bool try_engines(struct dnn *d, dnn_plan *p, void *whole, int mode, bool exact, size_t most_workspace)
{
	dnn_builder b = { 0 };
	void *heuristics = dnn_make(&b, DESC_ENGINE_HEUR), *configs[CANDIDATES] = { NULL };
	int64_t count = 0;
	dnn_set_descriptor(&b, heuristics, HEUR_GRAPH, whole);
	dnn_set(&b, heuristics, HEUR_MODE, TYPE_HEUR_MODE, 1, &mode);
	set_device(&b, d, heuristics, 0, HEUR_DEVICE);
	dnn_finish(&b, heuristics);
	for (int i = 0; i < CANDIDATES; i++) configs[i] = dnn_make(&b, DESC_ENGINE_CONFIG);
	if (!b.status) b.status = dnn()->get(heuristics, HEUR_RESULTS, TYPE_DESCRIPTOR, CANDIDATES, &count, configs);
	for (int64_t i = 0; !b.status && i < count && i < CANDIDATES && !p->plan; i++)
		if (will_do(configs[i], exact, &p->engine)) p->plan = plan_of(d, configs[i], most_workspace, &p->workspace);
	if (!p->plan) dnn_destroy_all(&b); /* a plan may refer to what it was made of; plans live as long as the program */
	return p->plan != NULL;
}

static void make_plan(struct dnn *d, dnn_plan *p, dnn_describe_fn *describe, bool exact, size_t most_workspace)
{
	dnn_builder b = { 0 };
	describe(&b, p->key);
	void *whole = dnn_make(&b, DESC_GRAPH);
	dnn_set(&b, whole, GRAPH_OPERATIONS, TYPE_DESCRIPTOR, b.operation_count, b.operations);
	if (!d->described) dnn_set(&b, whole, GRAPH_HANDLE, TYPE_HANDLE, 1, &d->handle);
	dnn_finish(&b, whole);
	if (!b.status && !try_engines(d, p, whole, HEUR_A, exact, most_workspace))
		try_engines(d, p, whole, HEUR_FALLBACK, exact, most_workspace);
	if (!p->plan) dnn_destroy_all(&b);
}

const dnn_plan *dnn_find_plan(gpu *g, const void *key, size_t key_bytes, dnn_describe_fn *describe, bool exact,
    size_t most_workspace, size_t *workspace)
{
	struct dnn *d = g->dnn;
	g->enter(g);
	dnn_plan *p = d->plans;
	while (p && (p->key_bytes != key_bytes || memcmp(p->key, key, key_bytes))) p = p->next;
	if (!p && (p = calloc(1, sizeof *p + key_bytes))) {
		p->key_bytes = key_bytes;
		memcpy(p->key, key, key_bytes);
		make_plan(d, p, describe, exact, most_workspace);
		p->next = d->plans;
		d->plans = p;
	}
	g->leave(g);
	if (!p || !p->plan) return NULL;
	*workspace = p->workspace;
	return p;
}

bool dnn_execute(
    gpu *g, const dnn_plan *p, int count, const int64_t *ids, const void *const *pointers, void *workspace, error *e)
{
	dnn_builder b = { 0 };
	void *variant = dnn_make(&b, DESC_VARIANT);
	dnn_set(&b, variant, VARIANT_IDS, DNN_TYPE_INT64, count, ids);
	dnn_set(&b, variant, VARIANT_POINTERS, TYPE_POINTER, count, pointers);
	dnn_set(&b, variant, VARIANT_WORKSPACE, TYPE_POINTER, 1, &workspace);
	dnn_finish(&b, variant);
	g->enter(g);
	if (!b.status) b.status = dnn()->execute(g->dnn->handle, p->plan, variant);
	g->leave(g);
	dnn_destroy_all(&b);
	return !b.status || fail(e, DEVICE_FAILED, "cuDNN: engine %d failed with status %d", p->engine, b.status);
}

/* ── opening ── */

bool dnn_attach(gpu *g, const cuda_stream *stream, error *e)
{
	if (!dnn()) return true;
	struct dnn *d = calloc(1, sizeof *d);
	if (!d) return fail(e, NO_MEMORY, "out of memory");
	int code = dnn()->create(&d->handle);
	if (!code) code = dnn()->stream_set(d->handle, stream->stream);
	if (code) {
		free(d);
		return fail(e, DEVICE_FAILED, "cuDNN does not start: status %d", code);
	}
	g->dnn = d;
	return true;
}

bool dnn_attach_described(gpu *g, const char *properties, error *e)
{
	dnn_builder b = { 0 };
	struct dnn *d = calloc(1, sizeof *d);
	if (!d) return fail(e, NO_MEMORY, "out of memory");
	d->described = dnn_make(&b, DESC_DEVICE);
	dnn_set(&b, d->described, DEVICE_JSON, TYPE_CHAR, (int64_t)strlen(properties), properties);
	dnn_finish(&b, d->described);
	if (b.status) {
		dnn_destroy_all(&b);
		free(d);
		return fail(e, DEVICE_FAILED, "cuDNN takes no description of a GPU: status %d", b.status);
	}
	g->dnn = d;
	return true;
}
