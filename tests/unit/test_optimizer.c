/* test_optimizer.c - each optimizer against its formula in double, written down here once more; learning rates against
 * diffusers' formulas; what must not depend on threads. */
#include "backend/backend.h"
#include "train/optimize/apply.h"
#include "train/optimize/rate.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const optimizer_options usual = {
	.beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-8f, .weight_decay = 0.1f, .momentum = 0.9f
};

/* A number between −1 and 1, as good as random. */
static double noise(size_t i)
{
	uint64_t x = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
	return (double)((x ^ (x >> 32)) & 0xffffff) / 0x800000 - 1;
}

/* An optimizer and how many threads its steps have. */
typedef struct subject {
	optimizer *o;
	shape shape;
	int threads;
} subject;

static subject make(optimizer_kind kind, shape s, int threads)
{
	error e = { 0 };
	optimizer_options o = usual;
	o.kind = kind;
	optimizer *made = optimizer_new(&o, 1, &s, NULL, NULL, &e);
	assert_non_null(made);
	return (subject){ made, s, threads };
}

/* Gradients of step k: those of a slowly turning direction, each element of its own size. */
static void gradient_of(int k, float *g, size_t n)
{
	for (size_t i = 0; i < n; i++)
		g[i] = (float)((noise(i) + 0.3 * noise(i + 7919 * (size_t)(k + 1))) * pow(10, -2 * fabs(noise(3 * i))));
}

static void start_of(float *w, size_t n)
{
	for (size_t i = 0; i < n; i++) w[i] = (float)noise(i + 31);
}

enum { STEPS = 6, MOST = 40000 };
static const double rate = 0.01, scale = 0.5;

static void run(subject s, float *w, size_t n, int steps)
{
	error e = { 0 };
	float *g = malloc(n * sizeof *g);
	start_of(w, n);
	apply *a = apply_new(s.o, backend_cpu(), s.threads, &(change){ "w", s.shape, w, g, 0, 1 }, 1, &e);
	if (!a) fail_msg("%s", e.text);
	for (int k = 0; k < steps; k++) {
		gradient_of(k, g, n);
		double norms[GROUPS];
		bool finite;
		assert_true(apply_run(a, s.o, rate, 1 / scale, 0, norms, &finite, &e) && finite);
	}
	apply_free(a);
	free(g);
	optimizer_free(s.o);
}

static void expect_near(const float *found, const double *expected, size_t n, double tolerance)
{
	for (size_t i = 0; i < n; i++)
		if (!(fabs((double)found[i] - expected[i]) < tolerance))
			fail_msg("element %zu is %g, expected %g", i, (double)found[i], expected[i]);
}

static void adamw_is_the_papers(void **state)
{
	(void)state;
	enum { N = 37 };
	float w[N], g[N], start[N];
	double x[N], m[N] = { 0 }, v[N] = { 0 };
	run(make(ADAMW, shape1(N), 2), w, N, STEPS);
	start_of(start, N);
	for (int i = 0; i < N; i++) x[i] = (double)start[i];
	for (int k = 0; k < STEPS; k++) {
		gradient_of(k, g, N);
		for (int i = 0; i < N; i++) {
			double d = scale * (double)g[i];
			m[i] = 0.9 * m[i] + 0.1 * d;
			v[i] = 0.99 * v[i] + 0.01 * d * d;
			double mean = m[i] / (1 - pow(0.9, k + 1)), square = v[i] / (1 - pow(0.99, k + 1));
			x[i] -= rate * 0.1 * x[i];
			x[i] -= rate * mean / (sqrt(square) + 1e-8);
		}
	}
	expect_near(w, x, N, 1e-6);
}

static void sgd_with_momentum(void **state)
{
	(void)state;
	enum { N = 37 };
	float w[N], g[N], start[N];
	double x[N], b[N] = { 0 };
	run(make(SGD, shape1(N), 1), w, N, STEPS);
	start_of(start, N);
	for (int i = 0; i < N; i++) x[i] = (double)start[i];
	for (int k = 0; k < STEPS; k++) {
		gradient_of(k, g, N);
		for (int i = 0; i < N; i++) {
			b[i] = 0.9 * b[i] + scale * (double)g[i];
			x[i] = x[i] * (1 - rate * 0.1) - rate * b[i];
		}
	}
	expect_near(w, x, N, 1e-6);
}

/* The paper's algorithms 4 (matrices) and 5 (vectors), with clipping threshold 1 and decay 1 − t^−0.8. */
static void check_adafactor(shape s, int rows, int columns)
{
	enum { N = 60 };
	int n = rows * columns;
	float w[N], g[N], start[N];
	double x[N], r[N] = { 0 }, c[N] = { 0 }, v[N] = { 0 }, u[N];
	run(make(ADAFACTOR, s, 2), w, (size_t)n, STEPS);
	start_of(start, (size_t)n);
	for (int i = 0; i < n; i++) x[i] = (double)start[i];
	for (int k = 0; k < STEPS; k++) {
		double beta = 1 - pow(k + 1, -0.8), total = 0, squares = 0;
		gradient_of(k, g, (size_t)n);
		for (int i = 0; i < rows; i++) r[i] *= beta;
		for (int j = 0; j < columns; j++) c[j] *= beta;
		for (int i = 0; i < n; i++) {
			double d = scale * (double)g[i], square = d * d + 1e-30;
			r[i / columns] += (1 - beta) * square / columns;
			c[i % columns] += (1 - beta) * square / rows;
			v[i] = beta * v[i] + (1 - beta) * square;
		}
		for (int i = 0; i < rows; i++) total += r[i] / rows;
		for (int i = 0; i < n; i++) {
			u[i] = scale * (double)g[i] / sqrt(rows > 1 ? r[i / columns] * c[i % columns] / total : v[i]);
			squares += u[i] * u[i] / n;
		}
		for (int i = 0; i < n; i++) x[i] = x[i] * (1 - rate * 0.1) - rate * u[i] / fmax(1, sqrt(squares));
	}
	expect_near(w, x, (size_t)n, 2e-6);
}

static void adafactor_is_the_papers(void **state)
{
	(void)state;
	check_adafactor(shape2(5, 12), 5, 12);
	check_adafactor(shape4(3, 2, 3, 3), 3, 18);
	check_adafactor(shape1(60), 1, 60);
}

/* Its first step has no quantized moments yet and is AdamW's; later ones follow it; small tensors are AdamW's. */
static void eight_bits_follow_adamw(void **state)
{
	(void)state;
	enum { N = 8192 };
	static float whole[N], coded[N], start[N];
	start_of(start, N);
	run(make(ADAMW, shape1(N), 2), whole, N, 1);
	run(make(ADAMW_8BIT, shape1(N), 2), coded, N, 1);
	assert_memory_equal(whole, coded, sizeof whole);
	run(make(ADAMW, shape1(N), 2), whole, N, 30);
	run(make(ADAMW_8BIT, shape1(N), 2), coded, N, 30);
	double apart = 0, moved = 0;
	for (int i = 0; i < N; i++) {
		apart += fabs((double)coded[i] - (double)whole[i]);
		moved += fabs((double)whole[i] - (double)start[i]);
	}
	print_message("8 bits: %.2f %% of the way apart after 30 steps\n", 100 * apart / moved);
	assert_true(apart > 0 && apart < 0.05 * moved); /* the gradients of a block span two decades */
	run(make(ADAMW, shape1(4000), 2), whole, 4000, 9);
	run(make(ADAMW_8BIT, shape1(4000), 2), coded, 4000, 9);
	assert_memory_equal(whole, coded, 4000 * sizeof *whole);
}

static void threads_do_not_matter(void **state)
{
	(void)state;
	static float one[MOST], three[MOST];
	for (int kind = 0; kind < OPTIMIZERS; kind++) {
		run(make((optimizer_kind)kind, shape2(100, MOST / 100), 1), one, MOST, 3);
		run(make((optimizer_kind)kind, shape2(100, MOST / 100), 3), three, MOST, 3);
		assert_memory_equal(one, three, sizeof one);
	}
}

/* The norm is that of all gradients of a group; what is over the limit is scaled, what is not finite changes nothing.
 */
static void norms_and_clipping(void **state)
{
	(void)state;
	static float w[3][MOST], g[3][MOST], start[MOST];
	error e = { 0 };
	optimizer_options o = { .kind = SGD };
	shape shapes[] = { shape1(MOST), shape1(MOST), shape1(MOST) };
	change list[3];
	double sums[GROUPS] = { 0 };
	start_of(start, MOST);
	for (int i = 0; i < 3; i++) {
		memcpy(w[i], start, sizeof start);
		gradient_of(i, g[i], MOST);
		for (size_t k = 0; k < MOST; k++) sums[i == 2] += (double)g[i][k] * (double)g[i][k];
		list[i] = (change){ "w", shapes[i], w[i], g[i], i == 2, i ? 1 : 0.5 };
		list[i].name = (const char *[]){ "a", "b", "c" }[i];
	}
	optimizer *made = optimizer_new(&o, 3, shapes, NULL, NULL, &e);
	double norms[GROUPS], most = sqrt(sums[0]) / 8;
	bool finite;
	for (int threads = 1; threads < 4; threads += 2) {
		apply *a = apply_new(made, backend_cpu(), threads, list, 3, &e);
		assert_non_null(a);
		assert_true(apply_run(a, made, 0.25, 2, most, norms, &finite, &e) && finite);
		for (int k = 0; k < GROUPS; k++) assert_true(fabs(norms[k] - sqrt(sums[k]) / 2) < 1e-9 * norms[k]);
		for (int i = 0; i < 3; i++) {
			double clip = fmin(1, most / norms[i == 2]) / 2, factor = i ? 0.25 : 0.125;
			for (size_t k = 0; k < MOST; k++)
				assert_true(fabs((double)w[i][k] - ((double)start[k] - factor * clip * (double)g[i][k])) < 1e-6);
			memcpy(w[i], start, sizeof start);
		}
		float bad[] = { NAN, INFINITY };
		for (int i = 0; i < 2; i++) {
			float before = g[1][MOST - 1];
			g[1][MOST - 1] = bad[i];
			assert_true(apply_run(a, made, 0.25, 2, most, norms, &finite, &e) && !finite);
			g[1][MOST - 1] = before;
			for (int k = 0; k < 3; k++) assert_memory_equal(w[k], start, sizeof start);
		}
		apply_free(a);
	}
	assert_int_equal(optimizer_steps(made), 2);
	optimizer_free(made);
}

static void another_process_has_the_state(void **state)
{
	(void)state;
	error e = { 0 };
	optimizer_options o = usual;
	shape shapes[] = { shape1(5000), shape1(5000) };
	for (int kind = 0; kind < OPTIMIZERS; kind++) {
		static float w[2][5000], g[5000];
		o.kind = (optimizer_kind)kind;
		optimizer *half = optimizer_new(&o, 2, shapes, (const bool[]){ true, false }, NULL, &e);
		assert_non_null(half);
		gradient_of(0, g, 5000);
		start_of(w[0], 5000);
		memcpy(w[1], w[0], sizeof w[0]);
		change list[] = { { "a", shapes[0], w[0], g, 0, 1 }, { "b", shapes[1], w[1], g, 0, 1 } };
		apply *a = apply_new(half, backend_cpu(), 2, list, 2, &e);
		double norms[GROUPS];
		bool finite;
		assert_true(a && apply_run(a, half, 0.01, 1, 0, norms, &finite, &e));
		apply_free(a);
		optimizer_piece there, here;
		assert_true(optimizer_state(half, 0, 0, &there) && optimizer_state(half, 1, 0, &here));
		assert_null(there.data);
		assert_non_null(here.data);
		start_of(g, 5000);
		assert_memory_equal(w[0], g, sizeof g);
		assert_memory_not_equal(w[1], g, sizeof g);
		optimizer_free(half);
	}
}

/* ── rates ── */
static void rates_are_diffusers(void **state)
{
	(void)state;
	static const char *const names[] = { "constant", "linear", "cosine" };
	for (int k = 0; k < 3; k++) {
		rate_schedule r = { .highest = 2, .warmup = 10, .steps = 110 };
		assert_true(rate_kind_from_name(names[k], &r));
		for (int step = 0; step <= 110; step++) {
			double part = (step - 10) / 100.0,
			       expected = 1; /* get_*_schedule_with_warmup: the factor of step 0, 1, … */
			if (k == 1) expected = (110 - step) / 100.0;
			if (k == 2) expected = 0.5 * (1 + cos(acos(-1) * part));
			if (step < 10) expected = step / 10.0; /* so the first step has none, as there */
			assert_true(fabs(rate_of_step(&r, step) - 2 * expected) < 1e-12);
		}
	}
	rate_schedule plain = { .kind = RATE_LINEAR, .highest = 3, .steps = 4 };
	assert_true(rate_of_step(&plain, 0) == 3 && fabs(rate_of_step(&plain, 3) - 0.75) < 1e-12);
	assert_false(rate_kind_from_name("polynomial", &plain));
}

static void averages_warm_up(void **state)
{
	(void)state;
	assert_true(fabs(average_decay(0.9999, 1) - 2 / 11.0) < 1e-15);
	assert_true(fabs(average_decay(0.9999, 90) - 91 / 100.0) < 1e-15);
	assert_true(average_decay(0.9999, 1000000) == 0.9999);
	float average[3] = { 1, 2, 3 }, x[3] = { 3, 2, 1 };
	error e = { 0 };
	blend *b = blend_new(backend_cpu(), 1, (float *[]){ average }, (float *[]){ x }, &(shape){ 1, { 3 } }, 1, &e);
	assert_true(b && blend_run(b, 0.75, 0.25, &e));
	assert_true(average[0] == 1.5f && average[1] == 2 && average[2] == 2.5f);
	average[1] = NAN; /* what is not kept may be anything */
	assert_true(blend_run(b, 0, 1, &e));
	assert_memory_equal(average, x, sizeof x);
	blend_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adamw_is_the_papers),
		cmocka_unit_test(sgd_with_momentum),
		cmocka_unit_test(adafactor_is_the_papers),
		cmocka_unit_test(eight_bits_follow_adamw),
		cmocka_unit_test(threads_do_not_matter),
		cmocka_unit_test(norms_and_clipping),
		cmocka_unit_test(another_process_has_the_state),
		cmocka_unit_test(rates_are_diffusers),
		cmocka_unit_test(averages_warm_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
