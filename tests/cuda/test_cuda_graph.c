/* test_cuda_graph.c - whole graphs on the recording device (host_gpu.h): a small network is drawn from and trained by
 * the CUDA backend's rows as by the reference, whether its steps are given one by one or replayed; and the device's
 * books balance: what was allocated is freed once, and nothing but kernels is in a recording. */
#include "backend/backend.h"
#include "backend/cuda/device.h"
#include "base/random.h"
#include "graph/internal.h"
#include "host_gpu.h"
#include "pipeline/session.h"
#include "train/optimize/apply.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 64, RUNS = 4 };

/* ── parameters: the same values by name for every graph; trainable ones lie in the backend's memory ── */

typedef struct values {
	const device *device; /* NULL: the host's memory */
	size_t bytes[MOST];
	void *at[MOST];
	int count;
} values;

static void fill_by_name(const char *name, float *to, size_t n)
{
	generator random;
	uint64_t seed = 7;
	for (const char *c = name; *c; c++) seed = seed * 131 + (unsigned char)*c;
	generator_seed(&random, seed);
	random_normal(&random, to, n);
	bool moment = strchr(name, '.') != NULL; /* "w.m", "w.v": zeros, as training begins */
	for (size_t i = 0; i < n; i++) to[i] *= moment ? 0 : 0.3f;
}

static bool bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	values *v = context;
	size_t n = shape_count(s);
	float *made = malloc(n * sizeof *made);
	assert_true(made && v->count < MOST);
	fill_by_name(name, made, n);
	int i = v->count++;
	v->bytes[i] = n * sizeof *made;
	v->at[i] = device_alloc(v->device, v->bytes[i]);
	assert_non_null(v->at[i]);
	assert_true(device_write(v->device, v->at[i], made, v->bytes[i], e));
	free(made);
	*d = F32;
	*data = v->at[i];
	return true;
}

static void free_values(values *v)
{
	for (int i = 0; i < v->count; i++) device_free(v->device, v->at[i]);
}

/* ── the network ── */

typedef struct network {
	graph *g;
	tensor x, target, y, loss, numbers, parameters[MOST];
	int count;
} network;

static tensor trained(network *n, const char *name, shape s)
{
	tensor p = param(n->g, name, s);
	set_trainable(n->g, p, true);
	return n->parameters[n->count++] = p;
}

static tensor as_weight(network *n, const char *name, shape s)
{
	return cast(n->g, trained(n, name, s), graph_compute(n->g));
}

static tensor linear_of(network *n, tensor x, const char *name, int out)
{
	return linear(n->g, x, as_weight(n, name, shape2(out, dim(n->g, x, -1))), 0);
}

static network build(dtype compute)
{
	network n = { .g = graph_new(compute) };
	graph *g = n.g;
	n.x = input(g, "x", REAL, shape4(2, 8, 8, 8));
	n.target = input(g, "target", REAL, shape3(2, 64, 16));
	tensor h = cast(g, n.x, compute);
	h = conv2d(g, h, as_weight(&n, "conv", shape4(16, 8, 3, 3)), trained(&n, "bias", shape1(16)), 1, 1, 1, 1, 1);
	tensor normed = group_norm(g, h, trained(&n, "gamma", shape1(16)), trained(&n, "beta", shape1(16)), 4, 1e-5f, SILU);
	normed = conv2d(g, normed, as_weight(&n, "conv2", shape4(16, 16, 3, 3)), 0, 1, 1, 1, 1, 1);
	h = reshape(g, add(g, h, normed), shape3(2, 64, 16));
	tensor t = layer_norm(g, h, trained(&n, "gain", shape1(16)), trained(&n, "shift", shape1(16)), 1e-5f);
	tensor q = linear_of(&n, t, "q", 16), k = linear_of(&n, t, "k", 16), v = linear_of(&n, t, "v", 16);
	h = add(g, h, linear_of(&n, attention(g, q, k, v, 2, 0.35f, false), "out", 16));
	h = add(g, h, linear_of(&n, geglu(g, linear_of(&n, h, "up", 64)), "down", 16));
	n.y = cast(g, h, REAL);
	n.loss = mean_squared_error(g, n.y, n.target);
	keep(g, n.y);
	keep(g, n.loss);
	return n;
}

/* Adds the gradients, their clipping and a step of AdamW. */
static void train(network *n)
{
	graph *g = n->g;
	tensor gradient[MOST], squares = 0;
	int parameters = n->count;
	n->numbers = input(g, "numbers", F64, shape1(8));
	tensor clipping = input(g, "clipping", F64, shape1(8));
	assert_true(gradients(g, n->loss, n->parameters, parameters, gradient));
	for (int i = 0; i < parameters; i++) squares = sum_squares(g, gradient[i], squares);
	tensor scale = clip_scale(g, squares, clipping);
	for (int i = 0; i < parameters; i++) {
		char name[40];
		shape s = shape_of(g, n->parameters[i]);
		const char *of = node_of(g, n->parameters[i])->name;
		snprintf(name, sizeof name, "%s.m", of);
		tensor m = trained(n, name, s);
		snprintf(name, sizeof name, "%s.v", of);
		tensor v = trained(n, name, s);
		keep(g, update_weight(g, UPDATE_ADAMW, n->parameters[i], gradient[i], scale, n->numbers, (tensor[4]){ m, v }));
	}
}

static void write_inputs(network *n, int run)
{
	static float x[2 * 8 * 8 * 8], target[2 * 64 * 16];
	char name[16];
	error e = { OK, "" };
	snprintf(name, sizeof name, "x%d", run);
	fill_by_name(name, x, sizeof x / sizeof *x);
	fill_by_name("target", target, sizeof target / sizeof *target);
	assert_true(graph_write_floats(n->g, n->x, x, &e) && graph_write_floats(n->g, n->target, target, &e));
	if (!n->numbers) return;
	double correct1 = 1 - pow(0.9, run + 1), correct2 = 1 - pow(0.999, run + 1);
	double numbers[8] = { 1 - 1e-5, 1e-2 / correct1, 1 / sqrt(correct2), 0.1, 0.999, 0.001, 1e-8 },
	       clipping[8] = { 0.5, 1 };
	assert_true(graph_write(n->g, n->numbers, numbers, &e));
	assert_true(graph_write(n->g, find(n->g, "clipping"), clipping, &e));
}

/* What RUNS runs leave: the result of each, and the trained parameters at the end. */
typedef struct outcome {
	float y[RUNS][2 * 64 * 16], weights[32768];
	size_t weight_count;
} outcome;

static void run_network(const backend *b, dtype compute, bool trains, outcome *o)
{
	error e = { OK, "" };
	network n = build(compute);
	values v = { .device = b->device };
	if (trains) train(&n);
	bool fine = graph_bind(n.g, bind, &v, &e) && graph_compile(n.g, b, 1, &e) && graph_allocate(n.g, NULL, NULL, &e);
	for (int r = 0; fine && r < RUNS; r++) {
		write_inputs(&n, r);
		fine = graph_run(n.g, NULL, NULL, &e) && graph_read_floats(n.g, n.y, o->y[r], &e);
	}
	if (!fine) fail_msg("%s", e.text);
	o->weight_count = 0;
	for (int i = 0; i < v.count; i++) {
		float *to = o->weights + o->weight_count;
		o->weight_count += v.bytes[i] / sizeof *to;
		assert_true(o->weight_count <= sizeof o->weights / sizeof *o->weights);
		assert_true(device_read(b->device, to, v.at[i], v.bytes[i], &e));
	}
	graph_free(n.g);
	free_values(&v);
}

static double relative(const float *a, const float *b, size_t n)
{
	double worst = 0, largest = 0;
	for (size_t i = 0; i < n; i++) {
		double d = fabs((double)a[i] - (double)b[i]);
		if (!(d <= worst)) worst = d == d ? d : INFINITY; /* of NaN as well, whatever follows it */
		largest = fmax(largest, fabs((double)b[i]));
	}
	return worst / largest;
}

static void compare(dtype compute, bool trains, double of_results, double of_weights)
{
	static outcome wanted, found, again;
	host_gpu_books before = host_gpu_read_books();
	run_network(backend_reference(), compute, trains, &wanted);
	run_network(backend_host_gpu(), compute, trains, &found);
	run_network(backend_host_gpu(), compute, trains, &again);
	for (int r = 0; r < RUNS; r++) {
		double d = relative(found.y[r], wanted.y[r], sizeof found.y[0] / sizeof(float));
		if (!(d <= of_results)) fail_msg("run %d differs by %.2e", r, d);
	}
	double d = relative(found.weights, wanted.weights, wanted.weight_count);
	if (!(d <= of_weights)) fail_msg("the weights differ by %.2e", d);
	assert_memory_equal(found.y, again.y, sizeof found.y);
	assert_memory_equal(found.weights, again.weights, found.weight_count * sizeof(float));

	host_gpu_books after = host_gpu_read_books();
	assert_int_equal(after.faults, 0);
	assert_int_equal(after.alive, before.alive);
	assert_int_equal(after.allocated - before.allocated, after.freed - before.freed);
	assert_true(after.recordings > before.recordings && after.replays > before.replays);
}

static void draws_in_f32(void **state)
{
	(void)state;
	compare(REAL, false, 2e-5, 0);
}

static void draws_in_bf16(void **state)
{
	(void)state;
	compare(BF16, false, 2e-2, 0);
}

static void trains_in_f32(void **state)
{
	(void)state;
	compare(REAL, true, 2e-3, 5e-3);
}

static void trains_in_bf16(void **state)
{
	(void)state;
	compare(BF16, true, 3e-2, 8e-2);
}

/* ── the second half of a training step ── */

static void *array_on(const device *d, size_t bytes, const void *from)
{
	error e = { OK, "" };
	void *p = device_alloc(d, bytes);
	assert_true(p && device_write(d, p, from, bytes, &e));
	return p;
}

/* Steps of one optimizer on a matrix and a vector, with clipping; what is on the host all the same is told. */
enum { MATRIX = 96 * 70, VECTOR = 5000, OPTIMIZED = 3 };
static const shape optimized[OPTIMIZED] = { { 2, { 96, 70 } }, { 1, { VECTOR } }, { 1, { 300 } } };

static void optimize(const backend *b, optimizer_kind kind, float *changed)
{
	static float start[MATRIX];
	error e = { OK, "" };
	optimizer_options how = { kind, 0.9f, 0.999f, 1e-8f, 1e-2f, 0.9f };
	optimizer *o = optimizer_new(&how, OPTIMIZED, optimized, NULL, b->device, &e);
	change list[OPTIMIZED];
	assert_non_null(o);
	for (int i = 0; i < OPTIMIZED; i++) {
		size_t n = shape_count(optimized[i]);
		char name[16];
		snprintf(name, sizeof name, "w%d", i);
		fill_by_name(name, start, n);
		float *w = array_on(b->device, n * sizeof *start, start),
		      *gradient = array_on(b->device, n * sizeof *start, start);
		list[i] = (change){ (const char *[]){ "a", "b", "c" }[i], optimized[i], w, gradient, 0, 1 };
	}
	apply *a = apply_new(o, b, 1, list, OPTIMIZED, &e);
	if (!a) fail_msg("%s", e.text);
	char left[100];
	assert_false(apply_fallbacks(a, left, sizeof left));
	for (int k = 0; k < RUNS; k++) {
		double norms[GROUPS];
		bool finite;
		for (int i = 0; i < OPTIMIZED; i++) {
			size_t n = shape_count(optimized[i]);
			char name[16];
			snprintf(name, sizeof name, "g%d%d", k, i);
			fill_by_name(name, start, n);
			assert_true(device_write(b->device, list[i].gradient, start, n * sizeof *start, &e));
		}
		if (!apply_run(a, o, 1e-2, 1, 5, norms, &finite, &e)) fail_msg("%s", e.text);
		assert_true(finite);
	}
	for (int i = 0; i < OPTIMIZED; i++) {
		size_t n = shape_count(optimized[i]);
		assert_true(device_read(b->device, changed, list[i].weight, n * sizeof *changed, &e));
		changed += n;
		device_free(b->device, list[i].weight);
		device_free(b->device, list[i].gradient);
	}
	apply_free(a);
	optimizer_free(o);
}

static void optimizers_step_as_the_reference(void **state)
{
	enum { ALL = MATRIX + VECTOR + 300 };
	static float wanted[ALL], found[ALL];
	(void)state;
	for (int kind = 0; kind < OPTIMIZERS; kind++) {
		host_gpu_books before = host_gpu_read_books();
		optimize(backend_reference(), (optimizer_kind)kind, wanted);
		optimize(backend_host_gpu(), (optimizer_kind)kind, found);
		double d = relative(found, wanted, ALL);
		if (!(d <= 1e-6)) fail_msg("optimizer %d differs by %.2e", kind, d);
		host_gpu_books after = host_gpu_read_books();
		assert_int_equal(after.faults, before.faults);
		assert_int_equal(after.alive, before.alive);
	}
}

/* ── a block as sampling builds it: sums in full precision, products in bf16 ── */

enum { SIDE = 6, WIDE = 64, SUMS = 2 * SIDE * SIDE * WIDE };

static tensor frozen(graph *g, const char *name, shape s) { return cast(g, param(g, name, s), graph_compute(g)); }
static tensor narrow(graph *g, tensor x) { return cast(g, x, graph_compute(g)); }
static tensor wide(graph *g, tensor x) { return cast(g, x, REAL); }

static tensor block(graph *g)
{
	tensor x = input(g, "x", REAL, shape4(2, SIDE, SIDE, WIDE)), v = cast(g, param(g, "bias", shape1(WIDE)), REAL);
	tensor n = narrow(g, group_norm(g, x, v, v, 32, 1e-5f, SILU));
	tensor c = conv2d(g, n, frozen(g, "conv", shape4(WIDE, WIDE, 3, 3)), v, 1, 1, 1, 1, 1);
	tensor p = conv2d(g, n, frozen(g, "point", shape4(WIDE, WIDE, 1, 1)), v, 1, 0, 0, 0, 0);
	tensor sum = add(g, wide(g, p), add(g, wide(g, c), x));
	tensor l = narrow(g, layer_norm(g, sum, v, v, 1e-5f));
	return add(g, wide(g, linear(g, l, frozen(g, "linear", shape2(WIDE, WIDE)), v)), sum);
}

static void run_block(const backend *b, float *y, int *casts)
{
	static float x[SUMS];
	error e = { OK, "" };
	graph *g = graph_new(BF16);
	tensor found = block(g);
	values v = { .device = NULL }; /* frozen parameters lie on the host */
	keep(g, found);
	fill_by_name("x", x, SUMS);
	bool fine = graph_bind(g, bind, &v, &e) && graph_compile(g, b, 1, &e) && graph_allocate(g, NULL, NULL, &e) &&
	            graph_write(g, find(g, "x"), x, &e) && graph_run(g, NULL, NULL, &e) &&
	            graph_read_floats(g, found, y, &e);
	if (!fine) fail_msg("%s", e.text);
	*casts = 0;
	for (int s = 0; s < g->step_count; s++) *casts += g->steps[s].call.y->op == CAST;
	graph_free(g);
	free_values(&v);
}

/* Nothing is cast between norms, products and sums; the reference rounds each product to bf16 before it is added. */
static void casts_are_no_steps(void **state)
{
	static float wanted[SUMS], found[SUMS];
	int casts;
	(void)state;
	run_block(backend_reference(), wanted, &casts);
	assert_true(casts > 0);
	run_block(backend_host_gpu(), found, &casts);
	assert_int_equal(casts, 0);
	double d = relative(found, wanted, SUMS);
	if (!(d <= 1e-2)) fail_msg("differs by %.2e", d);
}

/* A device notices what a driver does not. */
static void keeps_its_books(void **state)
{
	const device *d = backend_host_gpu()->device;
	error e = { OK, "" };
	char bytes[64] = { 0 };
	(void)state;
	int faults = host_gpu_read_books().faults;
	void *p = d->alloc(d->context, sizeof bytes);
	assert_true(d->upload(d->context, p, bytes, sizeof bytes, &e));
	assert_false(d->upload(d->context, (char *)p + 1, bytes, sizeof bytes, NULL)); /* past its end */
	assert_true(d->record_begin(d->context, &e));
	assert_null(d->alloc(d->context, 1));
	assert_false(d->sync(d->context, NULL));
	d->record_free(d->context, d->record_end(d->context, &e));
	d->free(d->context, p);
	assert_false(d->download(d->context, bytes, p, sizeof bytes, NULL)); /* after it was freed */
	assert_int_equal(host_gpu_read_books().faults, faults + 4);
}

/* Plans are made for the device's memory, not for the host's. */
static void refuses_what_does_not_fit(void **state)
{
	const backend *b = backend_host_gpu();
	const uint64_t mib = 1 << 20;
	error e = { OK, "" };
	uint64_t planned;
	model m = { .backend = b };
	(void)state;
	host_gpu_set_memory(16 * mib);
	session *s = session_open(&m, 0, true, &e);
	assert_non_null(s);
	assert_true(session_has_room(s, 16 * mib, "64×64", &planned, &e));
	assert_int_equal(planned, 16 * mib); /* what the process takes of the host's memory is not in it */
	void *p = b->device->alloc(b->device->context, 6 * mib);
	assert_non_null(p);
	assert_int_equal(device_available(b->device), 10 * mib);
	assert_int_equal(session_taken(s), 6 * mib);
	assert_null(b->device->alloc(b->device->context, 10 * mib + 1));
	assert_true(session_has_room(s, 10 * mib, "64×64", &planned, &e));
	assert_false(session_has_room(s, 12 * mib, "64×64", &planned, &e));
	assert_int_equal(e.status, NO_MEMORY);
	assert_string_equal(e.text, "memory: 12.0 MiB more are needed for 64×64, host, over the shim has 10.0 MiB");
	session_close(s);
	error limited = { OK, "" };
	s = session_open(&m, 8 * mib, true, &limited); /* --max-memory */
	assert_false(session_has_room(s, 9 * mib, "64×64", &planned, &limited));
	assert_non_null(strstr(limited.text, "9.0 MiB are needed for 64×64, more than the 8.0 MiB that were allowed"));
	session_close(s);
	b->device->free(b->device->context, p);
	host_gpu_set_memory(UINT64_MAX);
}

static void says_what_it_lacks(void **state)
{
	cuda_libraries found = { .lt_problem = "cuBLASLt is not installed", .dnn_problem = "cuDNN is not installed" };
	const lt_functions lt = { 0 };
	const dnn_functions dnn = { 0 };
	char text[256];
	(void)state;
	assert_true(cuda_doubt(&found, "cuda:0", text, sizeof text));
	assert_string_equal(
	    text, "cuda:0: cuBLASLt is not installed: matrix products run by the reference on the CPU, very slowly");
	found.lt = &lt;
	assert_true(cuda_doubt(&found, "cuda:0", text, sizeof text));
	assert_non_null(strstr(text, "cuDNN is not installed: convolutions"));
	found.dnn = &dnn;
	assert_false(cuda_doubt(&found, "cuda:0", text, sizeof text));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(draws_in_f32), cmocka_unit_test(draws_in_bf16),
		cmocka_unit_test(trains_in_f32), cmocka_unit_test(trains_in_bf16),
		cmocka_unit_test(optimizers_step_as_the_reference), cmocka_unit_test(casts_are_no_steps),
		cmocka_unit_test(keeps_its_books), cmocka_unit_test(refuses_what_does_not_fit),
		cmocka_unit_test(says_what_it_lacks) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
