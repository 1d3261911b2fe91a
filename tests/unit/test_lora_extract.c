/* test_lora_extract.c - a LoRA that was merged comes out of the difference again: at its rank the whole of it, at a
 * smaller one all but the singular values that are left out. */
#include "scratch.h"
#include "checkpoint/adapters.h"
#include "converting.h"
#include "checkpoint/low_rank.h"
#include "io/weights.h"
#include "models/lora_names.h"
#include <math.h>
#include <sumi.h>

#define LORAS GOLDEN_DIR "/loras/"
#define MODEL GOLDEN_DIR "/sd1/model.safetensors"

static bool installed(void)
{
	error e = { 0 };
	if (lapack_load(&e)) return true;
	assert_non_null(strstr(e.text, "libopenblas"));
	print_message("skipped: %s\n", e.text);
	return false;
}

/* ── matrices ── */

/* Columns of H = I − 2vvᵀ/‖v‖² are orthonormal: the matrix Σ s_i·h_i·k_iᵀ has these singular values. Column `column`
 * of H, of v = 1 + (i·seed mod 7). */
static double *reflection(int n, int column, int seed)
{
	double *h = malloc((size_t)n * sizeof *h), norm = 0;
	for (int i = 0; i < n; i++) norm += pow(1 + (i * seed) % 7, 2);
	for (int i = 0; i < n; i++) h[i] = (i == column) - 2.0 * (1 + (i * seed) % 7) * (1 + (column * seed) % 7) / norm;
	return h;
}

static void expect_low_rank(int rows, int columns, const double *singular, int count, int rank)
{
	error e = { 0 };
	low_rank_share share;
	size_t n = (size_t)rows * (size_t)columns;
	float *d = calloc(n, sizeof *d), *up = malloc((size_t)rows * (size_t)rank * sizeof *up),
	      *down = malloc((size_t)rank * (size_t)columns * sizeof *down);
	double all = 0, kept = 0, off = 0;
	for (int i = 0; i < count; i++) {
		all += singular[i] * singular[i];
		if (i < rank) kept += singular[i] * singular[i];
		double *left = reflection(rows, i, 3), *right = reflection(columns, i + 1, 5);
		for (int r = 0; r < rows; r++)
			for (int c = 0; c < columns; c++) d[r * columns + c] += (float)(singular[i] * left[r] * right[c]);
		free(left), free(right);
	}
	if (!low_rank(lapack_load(&e), d, rows, columns, rank, up, down, &share, &e)) fail_saying("%s\n", e.text);
	for (int r = 0; r < rows; r++)
		for (int c = 0; c < columns; c++) {
			double x = 0;
			for (int i = 0; i < rank; i++) x += (double)up[r * rank + i] * (double)down[i * columns + c];
			off += (x - (double)d[r * columns + c]) * (x - (double)d[r * columns + c]);
		}
	assert_float_equal(share.all, all, 1e-5 * all);
	assert_float_equal(share.kept, kept, 1e-5 * all);
	assert_float_equal(off, all - kept, 1e-5 * all);
	for (int i = 0; i < rank && i < count; i++) { /* both factors have the root of the value as their length */
		double length = 0;
		for (int c = 0; c < columns; c++) length += pow((double)down[i * columns + c], 2);
		assert_float_equal(length, singular[i], 1e-4 * singular[0]);
	}
	free(d), free(up), free(down);
}

static void matrices(void **state)
{
	(void)state;
	static const double values[] = { 8, 4, 4, 1, 0.5, 1e-3 };
	static const int sizes[][2] = { { 12, 12 }, { 40, 9 }, { 9, 40 }, { 300, 20 }, { 7, 6000 }, { 6000, 7 } };
	if (!installed()) skip();
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int rank = 1; rank <= 6; rank++) expect_low_rank(sizes[i][0], sizes[i][1], values, 6, rank);
	expect_low_rank(9, 9, values, 0, 3); /* nothing but zeros */
	expect_low_rank(1, 5, values, 1, 1);
}

/* ── models ── */

static char path_of_last[160], report[600];

static const char *extract(const char *tuned, const char *base, int rank, int conv_rank, const char *keys)
{
	sumi_error e = { 0 };
	sumi_extract_options o = sumi_extract_defaults();
	char *text = NULL;
	o.rank = rank;
	o.conv_rank = conv_rank;
	o.all_layers = true;
	o.type = "f32";
	o.keys = keys;
	snprintf(path_of_last, sizeof path_of_last, "%s/extracted-%d-%s.safetensors", scratch, rank, keys);
	if (!sumi_lora_extract(tuned, base, path_of_last, &o, &text, &e)) fail_saying("%s\n", e.text);
	snprintf(report, sizeof report, "%s", text);
	sumi_free(text);
	return path_of_last;
}

static const char *merge(const char *base, const char *to, const char *const *loras, int count)
{
	static char paths[4][160];
	static int next;
	char *path = paths[next++ % 4];
	error e = { 0 };
	snprintf(path, sizeof paths[0], "%s/%s", scratch, to);
	if (!convert_with(base, path, loras, count, "f32", NULL, false, &e)) fail_saying("%s\n", e.text);
	return path;
}

/* The largest distance of two files' tensors, as a share of each tensor's largest value. */
static double distance(const char *a, const char *b)
{
	error e = { 0 };
	weights *x = weights_open(a, &e), *y = weights_open(b, &e);
	double worst = 0;
	for (size_t i = 0; i < weights_count(x); i++) {
		const weight *v = weights_at(x, i), *w = weights_find(y, v->name);
		assert_non_null(w);
		if (v->dtype != F32) continue;
		double largest = 0, off = 0;
		for (size_t k = 0; k < weight_elements(v); k++) {
			float p, q;
			memcpy(&p, (const float *)v->data + k, sizeof p);
			memcpy(&q, (const float *)w->data + k, sizeof q);
			largest = fmax(largest, fabs((double)p));
			off = fmax(off, fabs((double)p - (double)q));
		}
		worst = fmax(worst, off / largest);
	}
	weights_close(x);
	weights_close(y);
	return worst;
}

static void comes_back(const char *model, const char *const *loras, int count, int rank)
{
	static const char *const keys[] = { "kohya", "peft" };
	const char *base = merge(model, "base.safetensors", NULL, 0);
	const char *tuned = merge(base, "tuned.safetensors", loras, count);
	assert_true(distance(base, tuned) > 1e-2);
	for (int i = 0; i < 2; i++) {
		const char *one = extract(tuned, base, rank, rank, keys[i]);
		double off = distance(merge(base, "again.safetensors", &one, 1), tuned);
		if (!(off < 2e-6)) fail_saying("%s, %s's keys: off by %g\n", loras[0], keys[i], off);
		assert_non_null(strstr(report, "100.00 % of their difference"));
		assert_null(strstr(report, "left out"));
	}
}

static void comes_back_from_sd1(void **state)
{
	(void)state;
	static const char *const loras[] = { GOLDEN_DIR "/lora/kohya.safetensors",
		GOLDEN_DIR "/lora/kohya_locon.safetensors:0.7" };
	if (!installed()) skip();
	comes_back(MODEL, loras, 2, 4);
}

static const char *tiny_model(const char *name)
{
	error e = { 0 };
	char config[300];
	static char path[160];
	snprintf(config, sizeof config, LORAS "%s.json", name);
	snprintf(path, sizeof path, "%s/%s.safetensors", scratch, name);
	if (!file_init(config, 42, "f32", false, path, NULL, &e)) fail_saying("%s\n", e.text);
	return path;
}

/* OpenCLIP's in_proj is three modules. */
static void comes_back_from_sdxl(void **state)
{
	(void)state;
	const char *one = LORAS "tiny-sdxl-kohya.safetensors";
	if (!installed()) skip();
	comes_back(tiny_model("tiny-sdxl"), &one, 1, 2);
}

/* In PEFT's names qkv is three, and the last block's norm has its halves exchanged. */
static void comes_back_from_sd3(void **state)
{
	(void)state;
	const char *one = LORAS "tiny-sd3-peft.safetensors";
	if (!installed()) skip();
	comes_back(tiny_model("tiny-sd3"), &one, 1, 6); /* kohya's qkv holds three of rank 2 */
}

/* ── at a smaller rank ── */

/* The two eigenvalues of AᵀA·BBᵀ, which are the squared singular values of A·B: A is [rows,2], B [2,columns]. */
static void squares_of(const float *a, int rows, const float *b, int columns, double scale, double out[2])
{
	double p[3] = { 0 }, q[3] = { 0 };
	for (int i = 0; i < rows; i++) {
		double x = (double)a[2 * i], y = (double)a[2 * i + 1];
		p[0] += x * x, p[1] += x * y, p[2] += y * y;
	}
	for (int i = 0; i < columns; i++) {
		double x = (double)b[i], y = (double)b[columns + i];
		q[0] += x * x, q[1] += x * y, q[2] += y * y;
	}
	double trace = p[0] * q[0] + 2 * p[1] * q[1] + p[2] * q[2];
	double determinant = (p[0] * p[2] - p[1] * p[1]) * (q[0] * q[2] - q[1] * q[1]);
	double root = sqrt(fmax(trace * trace / 4 - determinant, 0));
	out[0] = (trace / 2 + root) * scale * scale;
	out[1] = (trace / 2 - root) * scale * scale;
}

static const float *floats(const weights *file, const char *module, const char *part, int *first)
{
	static float kept[2][1 << 16];
	static int next;
	char name[300];
	snprintf(name, sizeof name, "%s.%s.weight", module, part);
	const weight *w = weights_find(file, name);
	assert_true(w && weight_elements(w) <= 1 << 16);
	float *to = kept[next++ % 2];
	convert(to, F32, w->data, w->dtype, weight_elements(w));
	*first = (int)w->shape[0];
	return to;
}

/* Of rank 2, at rank 1: the extracted factors are as large as the first singular value, and the report adds them up. */
static void leaves_out_the_smallest(void **state)
{
	(void)state;
	const char *trained = LORAS "tiny-sdxl-kohya.safetensors";
	if (!installed()) skip();
	error e = { 0 };
	const char *base = merge(tiny_model("tiny-sdxl"), "base.safetensors", NULL, 0);
	const char *tuned = merge(base, "tuned.safetensors", &trained, 1);
	weights *given = weights_open(trained, &e), *found = weights_open(extract(tuned, base, 1, 0, "kohya"), &e);
	double kept = 0, all = 0, told;
	int layers = 0;
	for (size_t i = 0; i < weights_count(found); i++) {
		const char *key = weights_at(found, i)->name, *end = strstr(key, ".lora_down.weight");
		char module[200];
		double wanted[2];
		int rows, rank, columns;
		if (!end) continue;
		snprintf(module, sizeof module, "%.*s", (int)(end - key), key);
		columns = (int)weights_at(found, i)->shape[1];
		const float *down = floats(given, module, "lora_down", &rank), *up = floats(given, module, "lora_up", &rows);
		assert_int_equal(rank, 2);
		squares_of(up, rows, down, columns, 1 / 2.0, wanted); /* alpha 1, rank 2 */
		const float *a = floats(found, module, "lora_down", &rank), *b = floats(found, module, "lora_up", &rows);
		assert_int_equal(rank, 1);
		double left = 0, right = 0;
		for (int k = 0; k < columns; k++) left += (double)a[k] * (double)a[k];
		for (int k = 0; k < rows; k++) right += (double)b[k] * (double)b[k];
		assert_float_equal(left * right, wanted[0], 1e-4 * wanted[0]);
		kept += wanted[0];
		all += wanted[0] + wanted[1];
		layers++;
	}
	assert_int_equal(sscanf(report, "%*d layers: %lf %%", &told), 1);
	assert_float_equal(told, 100 * kept / all, 0.02);
	assert_int_equal(atoi(report), layers);
	assert_true(told < 99.9);
	weights_close(given);
	weights_close(found);
}

/* ── what is no difference ── */

static void expect_refused(const char *tuned, const char *base, const char *why)
{
	sumi_error e = { 0 };
	assert_false(sumi_lora_extract(tuned, base, scratch_path("x.safetensors"), NULL, NULL, &e));
	if (!strstr(e.text, why)) fail_saying("\"%s\" does not say \"%s\"\n", e.text, why);
	assert_int_equal(access(scratch_path("x.safetensors"), F_OK), -1);
}

/* A copy in a smaller type differs by rounding alone. */
static void rounding_is_no_difference(void **state)
{
	(void)state;
	static const char *const types[] = { "bf16", "f16", "f8_e4m3", "f8_e5m2" };
	error e = { 0 };
	if (!installed()) skip();
	const char *base = merge(tiny_model("tiny-sdxl"), "base.safetensors", NULL, 0);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		const char *small = scratch_path("small.safetensors");
		if (!convert_with(base, small, NULL, 0, types[i], NULL, true, &e)) fail_saying("%s\n", e.text);
		expect_refused(base, small, "do not differ");
		expect_refused(small, base, "do not differ");
	}
}

static void models_of_other_kinds(void **state)
{
	(void)state;
	if (!installed()) skip();
	char xl[160];
	snprintf(xl, sizeof xl, "%s", tiny_model("tiny-sdxl"));
	expect_refused(tiny_model("tiny-sd3"), xl, "models of different kinds");
	expect_refused(MODEL, xl, "models of different kinds");
	expect_refused(MODEL, GOLDEN_DIR "/lora/kohya.safetensors", "kohya.safetensors");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(matrices), IN_SCRATCH(comes_back_from_sd1),
		IN_SCRATCH(comes_back_from_sdxl), IN_SCRATCH(comes_back_from_sd3), IN_SCRATCH(leaves_out_the_smallest),
		IN_SCRATCH(rounding_is_no_difference), IN_SCRATCH(models_of_other_kinds) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
