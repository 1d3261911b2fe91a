/* trial.c - networks on golden data. */
#include "trial.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 4096, MOST_INPUTS = 16, NAME = 256 };

typedef struct expectation {
	tensor result;
	char name[NAME];
	const float *golden;
	shape golden_shape;
	double largest; /* of the model's gradients; 0: an output */
} expectation;

typedef struct golden_input {
	tensor t;
	char name[NAME];
	const void *data;
	dtype dtype;
	shape shape; /* the golden's */
} golden_input;

struct trial {
	nn n;
	char name[NAME];
	const arrays *weights;
	bind_fn *bind; /* in their place; NULL */
	void *bind_context;
	golden_input inputs[MOST_INPUTS];
	int input_count;
	expectation *list;
	int count;
	const json_t *summary;
	tensor *gradients; /* of the parameters of the summary, in its order */
	const arrays *blocks;
	void (*rename)(const char *scope, char *name, size_t size);
};

static void told_block(void *context, const char *scope, tensor result)
{
	trial *t = context;
	char name[NAME] = "";
	if (t->rename) t->rename(scope, name, sizeof name);
	if (*name) trial_expect(t, result, t->blocks, "%s", name);
}

trial *trial_new(const char *name, dtype compute, const arrays *weights, const adapted *adapters, int adapter_count)
{
	trial *t = calloc(1, sizeof *t);
	t->n = (nn){ .g = graph_new(compute),
		.adapters = adapters,
		.adapter_count = adapter_count,
		.wide_sums = true, /* as in sampling; in f32 it makes no difference */
		.block = told_block,
		.context = t };
	snprintf(t->name, sizeof t->name, "%s%s", name, compute == BF16 ? " bf16" : "");
	t->weights = weights;
	t->list = calloc(MOST, sizeof *t->list);
	return t;
}

void trial_bind(trial *t, bind_fn *bind, void *context)
{
	t->bind = bind;
	t->bind_context = context;
}

nn *trial_nn(trial *t) { return &t->n; }

/* [N,C,H,W] as [N,H,W,C] */
static shape ours(shape s, dtype d) { return s.n == 4 && d == F32 ? shape4(s.d[0], s.d[2], s.d[3], s.d[1]) : s; }

static void convert_layout(float *to, const float *from, shape golden, bool to_golden)
{
	size_t n = (size_t)golden.d[0], c = (size_t)golden.d[1], area = (size_t)golden.d[2] * (size_t)golden.d[3];
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < c; k++)
			for (size_t p = 0; p < area; p++) {
				size_t theirs = (i * c + k) * area + p, mine = (i * area + p) * c + k;
				if (to_golden)
					to[theirs] = from[mine];
				else
					to[mine] = from[theirs];
			}
}

tensor trial_value(trial *t, const char *name, dtype d, shape s, const void *data)
{
	if (t->input_count == MOST_INPUTS) return 0;
	golden_input *x = &t->inputs[t->input_count++];
	x->t = input(t->n.g, name, dtype_is_float(d) ? REAL : I32, ours(s, d));
	x->data = data;
	x->dtype = d;
	x->shape = s;
	snprintf(x->name, sizeof x->name, "%s", name);
	return x->t;
}

tensor trial_input(trial *t, const arrays *from, const char *format, ...)
{
	char name[NAME];
	va_list list;
	va_start(list, format);
	vsnprintf(name, sizeof name, format, list);
	va_end(list);
	dtype d;
	shape s;
	const void *data;
	return array_find(from, name, &d, &s, &data) ? trial_value(t, name, d, s, data) : 0;
}

static void expect(trial *t, tensor result, const char *name, const float *golden, shape s, double largest)
{
	if (!result || t->count == MOST) return;
	keep(t->n.g, result);
	expectation *x = &t->list[t->count++];
	*x = (expectation){ .result = result, .golden = golden, .golden_shape = s, .largest = largest };
	snprintf(x->name, sizeof x->name, "%s", name);
}

void trial_expect(trial *t, tensor result, const arrays *golden, const char *format, ...)
{
	char name[NAME];
	va_list list;
	va_start(list, format);
	vsnprintf(name, sizeof name, format, list);
	va_end(list);
	dtype d;
	shape s;
	const void *data;
	if (array_find(golden, name, &d, &s, &data) && d == F32) expect(t, cast(t->n.g, result, REAL), name, data, s, 0);
}

void trial_expect_blocks(trial *t, const arrays *golden, void (*rename)(const char *, char *, size_t))
{
	t->blocks = golden;
	t->rename = rename;
}

/* The largest of a figure ("l2", "absmax") over all gradients: what is mathematically zero is noise of about its
 * rounding. */
static double largest_gradient(const json_t *summary, const char *figure)
{
	double largest = 0;
	const char *key;
	json_t *entry;
	json_object_foreach((json_t *)(uintptr_t)summary, key, entry)
	{
		largest = fmax(largest, json_number_value(json_object_get(entry, figure)));
	}
	return largest;
}

static double largest_value(const float *x, size_t n)
{
	double largest = 0;
	for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)x[i]));
	return largest;
}

/* An input "a.x" or "x" has its gradient under "grad.x". */
static bool has_gradient(const arrays *full, const char *input_name)
{
	char key[NAME + 8];
	const char *last = strrchr(input_name, '.');
	snprintf(key, sizeof key, "grad.%s", last ? last + 1 : input_name);
	return json_object_get(full->header, key);
}

void trial_expect_gradients(trial *t, tensor loss, const arrays *full, const json_t *summary)
{
	graph *g = t->n.g;
	int parameters = (int)json_object_size(summary), n = parameters + t->input_count, i = 0;
	tensor *wrt = calloc((size_t)n, sizeof *wrt);
	t->gradients = calloc((size_t)n, sizeof *t->gradients);
	t->summary = summary;
	const char *key;
	json_t *entry;
	json_object_foreach((json_t *)(uintptr_t)summary, key, entry) { wrt[i++] = find(g, key); }
	for (int k = 0; k < t->input_count; k++, i++) wrt[i] = has_gradient(full, t->inputs[k].name) ? t->inputs[k].t : 0;
	gradients(g, loss, wrt, n, t->gradients);
	double largest = largest_gradient(summary, "absmax");
	for (int pass = 0; pass < 2; pass++) json_object_foreach(full->header, key, entry)
		{
			if (strncmp(key, "grad.", 5)) continue;
			dtype d;
			shape s;
			const void *data;
			if (!array_find(full, key, &d, &s, &data)) continue;
			if (!pass) {
				largest = fmax(largest, largest_value(data, shape_count(s)));
				continue;
			}
			for (int k = 0; k < n; k++) {
				if (!wrt[k]) continue;
				const char *name = node_of(g, wrt[k])->name, *last = k < parameters ? NULL : strrchr(name, '.');
				if (!strcmp(key + 5, last ? last + 1 : name)) expect(t, t->gradients[k], key, data, s, largest);
			}
		}
	free(wrt);
}

static bool bind_weight(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const trial *t = context;
	shape found;
	if (lora_bind(t->n.adapters, t->n.adapter_count, name, d, data)) return true;
	if (t->bind) return t->bind(t->bind_context, name, s, d, data, e);
	if (!array_find(t->weights, name, d, &found, data)) return fail(e, BAD_FILE, "no tensor '%s'", name);
	return shape_same(s, found) || fail(e, BAD_FILE, "tensor '%s' has another shape", name);
}

static bool write_inputs(trial *t, error *e)
{
	bool fine = true;
	for (int i = 0; fine && i < t->input_count; i++) {
		const golden_input *x = &t->inputs[i];
		size_t n = shape_count(x->shape);
		void *moved = malloc(n * sizeof(float)); /* or ids: as large */
		if (!dtype_is_float(x->dtype)) {
			convert(moved, I32, x->data, x->dtype, n);
			fine = graph_write(t->n.g, x->t, moved, e);
		} else {
			if (x->shape.n == 4) convert_layout(moved, x->data, x->shape, false);
			fine = graph_write_floats(t->n.g, x->t, x->shape.n == 4 ? moved : x->data, e);
		}
		free(moved);
	}
	return fine;
}

/* ‖a−b‖/‖b‖. Of a gradient the largest difference in units of max|b| + 0.01·largest, where largest is that of any
 * gradient: at 1e-4 this is the tolerance that the goldens' README gives. */
static double distance(const float *a, const float *b, size_t n, double largest)
{
	double difference = 0, size = 0, worst = 0;
	for (size_t i = 0; i < n; i++) {
		double d = (double)a[i] - (double)b[i];
		difference += d * d;
		size += (double)b[i] * (double)b[i];
		if (isnan(d)) return INFINITY;
		worst = worse(worst, fabs(d));
	}
	return largest > 0 ? worst / (largest_value(b, n) + 0.01 * largest) : sqrt(difference) / fmax(sqrt(size), 1e-30);
}

static double error_of(const trial *t, const expectation *x)
{
	size_t n = shape_count(x->golden_shape);
	if (shape_count(shape_of(t->n.g, x->result)) != n) return INFINITY;
	float *values = malloc(2 * n * sizeof *values), *moved = values + n;
	if (!graph_read_floats(t->n.g, x->result, values, NULL)) return free(values), INFINITY;
	bool picture = x->golden_shape.n == 4 && node_of(t->n.g, x->result)->shape.n == 4 &&
	               (!x->largest || !strchr(x->name + 5, '.'));
	if (picture) convert_layout(moved, values, x->golden_shape, true);
	double result = distance(picture ? moved : values, x->golden, n, x->largest);
	free(values);
	return result;
}

/* The worst error of l2 and first4 over all parameters, in the same units. */
static double summary_error(const trial *t)
{
	double largest = largest_gradient(t->summary, "l2"), highest = largest_gradient(t->summary, "absmax"), worst = 0;
	int i = 0;
	const char *key;
	json_t *entry;
	json_object_foreach((json_t *)(uintptr_t)t->summary, key, entry)
	{
		tensor d = t->gradients[i++];
		double l2 = json_number_value(json_object_get(entry, "l2")), found = 0;
		double most = json_number_value(json_object_get(entry, "absmax"));
		size_t n = d ? shape_count(shape_of(t->n.g, d)) : 0;
		float *values = d ? malloc(n * sizeof *values) : NULL;
		if (values && !graph_read_floats(t->n.g, d, values, NULL)) return free(values), INFINITY;
		for (size_t k = 0; k < n; k++) found += (double)values[k] * (double)values[k];
		worst = worse(worst, fabs(sqrt(found) - l2) / (l2 + 0.01 * largest));
		const json_t *first = json_object_get(entry, "first4");
		for (size_t k = 0; values && k < json_array_size(first); k++)
			worst = worse(
			    worst, fabs((double)values[k] - json_number_value(json_array_get(first, k))) / (most + 0.01 * highest));
		free(values);
	}
	return worst;
}

static void report_all(trial *t, report *r, double tolerance)
{
	double gradient = -1, block = -1;
	char name[2 * NAME + 32];
	for (int i = 0; i < t->count; i++) {
		const expectation *x = &t->list[i];
		double found = error_of(t, x);
		if (x->largest > 0 && strchr(x->name + 5, '.')) { /* of a parameter */
			gradient = worse(gradient, found);
		} else if (strstr(x->name, ".block.")) {
			block = worse(block, found);
		} else {
			snprintf(name, sizeof name, "%s %s", t->name, x->name);
			report_error(r, name, found, x->largest > 0 ? 1e-4 : tolerance);
		}
	}
	snprintf(name, sizeof name, "%s blocks", t->name);
	if (block >= 0) report_error(r, name, block, tolerance);
	snprintf(name, sizeof name, "%s gradients in full", t->name);
	if (gradient >= 0) report_error(r, name, gradient, 1e-4);
	snprintf(name, sizeof name, "%s gradients, %zu norms", t->name, json_object_size(t->summary));
	if (t->summary) report_error(r, name, summary_error(t), 1e-4);
}

void trial_end(trial *t, report *r, double tolerance)
{
	error e = { 0 };
	graph *g = t->n.g;
	bool fine = graph_bind(g, bind_weight, t, &e) && graph_compile(g, golden_backend(), 2, &e) &&
	            (!golden_streams() || graph_stream(g, graph_constant_bytes(g) / 2, &e)) &&
	            graph_allocate(g, NULL, NULL, &e);
	fine = fine && write_inputs(t, &e) && graph_run(g, NULL, NULL, &e);
	if (fine)
		report_all(t, r, tolerance);
	else {
		printf("      %s: %s\n", t->name, e.text);
		report_error(r, t->name, INFINITY, tolerance);
	}
	graph_free(g);
	free(t->gradients);
	free(t->list);
	free(t);
}
