/* test_eval.c - the figures of an evaluation where they are known: matrices with known roots, references made by hand,
 * and a whole evaluation of a tiny model, twice. */
#include "eval/evaluate.h"
#include "eval/frechet.h"
#include "io/picture.h"
#include "pipeline/grid.h"
#include "base/file.h"
#include "base/random.h"
#include "scratch.h"
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

/* ── Fréchet ── */

static void eigenvectors_restore_a_matrix(void **state)
{
	enum { N = 13 };
	double a[N * N], copy[N * N], values[N], v[N * N];
	float random[N * N];
	generator g;
	(void)state;
	generator_seed(&g, 3);
	random_normal(&g, random, N * N);
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) a[i * N + j] = copy[i * N + j] = (double)(random[i * N + j] + random[j * N + i]);
	symmetric_eigen(a, N, values, v);
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			double restored = 0, product = 0;
			for (int k = 0; k < N; k++) {
				restored += v[i * N + k] * values[k] * v[j * N + k];
				product += v[k * N + i] * v[k * N + j];
			}
			assert_true(fabs(restored - copy[i * N + j]) < 1e-12);
			assert_true(fabs(product - (i == j)) < 1e-12);
		}
}

/* Sets of two features of which the covariances do not commute: tr √(AB) = √(tr AB + 2 √det AB). */
static void distance_has_its_closed_form(void **state)
{
	enum { COUNT = 500 };
	static float a[COUNT * 2], b[COUNT * 2];
	generator g;
	error e = { 0 };
	double m[2][2] = { { 0 } }, c[2][3] = { { 0 } }, d;
	(void)state;
	generator_seed(&g, 5);
	random_normal(&g, a, COUNT * 2);
	random_normal(&g, b, COUNT * 2);
	for (int i = 0; i < COUNT; i++) {
		a[2 * i + 1] += 2 * a[2 * i];
		b[2 * i] += 3 - b[2 * i + 1];
	}
	const float *sets[2] = { a, b };
	for (int s = 0; s < 2; s++) {
		for (int i = 0; i < COUNT * 2; i++) m[s][i % 2] += (double)sets[s][i] / COUNT;
		for (int i = 0; i < COUNT; i++) {
			double x = (double)sets[s][2 * i] - m[s][0], y = (double)sets[s][2 * i + 1] - m[s][1];
			c[s][0] += x * x / (COUNT - 1), c[s][1] += x * y / (COUNT - 1), c[s][2] += y * y / (COUNT - 1);
		}
	}
	double trace = c[0][0] * c[1][0] + 2 * c[0][1] * c[1][1] + c[0][2] * c[1][2];
	double determinant = (c[0][0] * c[0][2] - c[0][1] * c[0][1]) * (c[1][0] * c[1][2] - c[1][1] * c[1][1]);
	double expected = pow(m[0][0] - m[1][0], 2) + pow(m[0][1] - m[1][1], 2) + c[0][0] + c[0][2] + c[1][0] + c[1][2] -
	                  2 * sqrt(trace + 2 * sqrt(determinant));
	assert_true(frechet_distance(a, COUNT, b, COUNT, 2, &d, &e));
	assert_true(fabs(d - expected) < 1e-9 * expected);
	assert_true(frechet_distance(a, COUNT, a, COUNT, 2, &d, &e));
	assert_true(d < 1e-9);
	assert_false(frechet_distance(a, 1, b, COUNT, 2, &d, &e));
	assert_says(e, "two pictures");
}

/* ── sets and the judge ── */

static void sets_are_read_with_their_groups(void **state)
{
	static const char good[] =
	    "{\"file_name\": \"a.png\", \"text\": \"a hand\", \"base\": \"hand\", \"tone\": \"dark\"}\n"
	    "\n{\"file_name\": \"b.png\", \"text\": \"a cup\", \"base\": 3}\n";
	static const char *const bad[] = { "{\"file_name\": \"../a.png\", \"text\": \"x\"}", "{\"file_name\": \"a.png\"}",
		"{\"file_name\": ", "\n" };
	example_set s = { 0 };
	error e = { 0 };
	(void)state;
	scratch_write("metadata.jsonl", good, sizeof good - 1);
	assert_true(example_set_read(&s, scratch, "base", "tone", &e));
	assert_true(example_set_read(&s, scratch, NULL, NULL, &e));
	assert_int_equal(s.count, 4);
	assert_int_equal(s.folders, 2);
	assert_string_equal(s.at[0].group, "hand");
	assert_string_equal(s.at[0].variant, "dark");
	assert_string_equal(s.at[1].text, "a cup");
	assert_string_equal(s.at[1].group, "");
	assert_string_equal(s.at[2].group, "");
	assert_int_equal(s.at[3].folder, 1);
	example_set_free(&s);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e = (error){ 0 };
		scratch_write("metadata.jsonl", bad[i], strlen(bad[i]));
		assert_false(example_set_read(&s, scratch, "base", "tone", &e));
		assert_says(e, "metadata.jsonl");
		example_set_free(&s);
	}
	e = (error){ 0 };
	assert_false(example_set_read(&s, "/nowhere", NULL, NULL, &e));
	assert_says(e, "/nowhere/metadata.jsonl");
}

static void the_judge_ranks(void **state)
{
	char hand[] = "hand", foot[] = "foot", dark[] = "dark", light[] = "light", none[] = "";
	example all[] = { { none, none, hand, dark, 0 }, { none, none, hand, light, 0 }, { none, none, foot, dark, 0 },
		{ none, none, none, none, 0 }, { none, none, foot, light, 1 } };
	float features[] = { 0, 0, 10, 0, 0, 10, 10, 10, 0, 10 };
	double distances[5];
	example_set set = { all, 5, 2 };
	references r = { &set, features, 2 };
	(void)state;
	verdict v = judge(&r, (float[]){ 1, 0 }, 0, distances);
	assert_int_equal(v.nearest, 0);
	assert_int_equal(v.rank, 0);
	assert_true(v.group_judged && v.variant && v.group_rank == 0);
	v = judge(&r, (float[]){ 1, 0 }, 1, distances); /* the light hand was wanted */
	assert_int_equal(v.rank, 1);
	assert_true(v.group_judged && !v.variant && v.group_rank == 0);
	v = judge(&r, (float[]){ 9, 1 }, 4, distances); /* 2 and 4 are one picture */
	assert_int_equal(v.nearest, 1);
	assert_int_equal(v.rank, 3);
	assert_int_equal(v.group_rank, 3);
	v = judge(&r, (float[]){ 0, 10 }, 4, distances);
	assert_int_equal(v.rank, 0); /* the other is not nearer */
	v = judge(&r, (float[]){ 9, 9 }, 3, distances);
	assert_true(v.rank == 0 && !v.group_judged);
}

static void grids_lay_pictures_out(void **state)
{
	unsigned char red[2 * 3 * 3], blue[3] = { 0, 0, 255 };
	error e = { 0 };
	(void)state;
	for (int i = 0; i < 18; i++) red[i] = i % 3 ? 0 : 255;
	sumi_image a = { .size = sizeof a, .width = 2, .height = 3, .pixels = red },
	           b = { .size = sizeof b, .width = 1, .height = 1, .pixels = blue };
	const sumi_image *all[] = { &a, &b, &a };
	sumi_image *grid = image_grid(all, 3, 2, 1, &e);
	assert_non_null(grid);
	assert_int_equal(grid->width, 5);
	assert_int_equal(grid->height, 7);
	assert_memory_equal(grid->pixels, "\xff\0\0\xff\0\0\xff\xff\xff", 9);
	assert_memory_equal(grid->pixels + 3 * 5 + 9, "\0\0\xff\xff\xff\xff", 6); /* in the middle of its cell */
	assert_memory_equal(grid->pixels + 3 * (5 * 6), "\xff\0\0\xff\0\0\xff\xff\xff\xff\xff\xff", 12);
	sumi_image_free(grid);
	assert_null(image_grid(all, 3, 0, 1, &e));
	assert_says(e, "columns");
}

/* ── with a model ── */

static model *open_tiny(void)
{
	sumi_model_options o = sumi_model_defaults();
	error e = { 0 };
	o.type = "f32";
	o.threads = 1;
	model *m = model_open(GOLDEN_DIR "/sd1/model.safetensors", &o, &e);
	if (!m) fail_saying("%s\n", e.text);
	m->family.size = 32; /* its networks take any size */
	return m;
}

static void write_pictures(const char *folder, int count, int first)
{
	char path[200], line[300], text[4096] = "";
	picture p;
	error e = { 0 };
	assert_true(picture_new(&p, 40, 32, &e));
	for (int i = 0; i < count; i++) {
		for (int k = 0; k < 40 * 32 * 3; k++)
			p.rgb[k] = (uint8_t)((k / 3 % 40 * (first + i + 1) * 7 + k % 3 * 80) % 256);
		snprintf(path, sizeof path, "%s/%d.png", folder, i);
		assert_true(picture_write(&p, path, NULL, 0, &e));
		snprintf(line, sizeof line,
		    "{\"file_name\": \"%d.png\", \"text\": \"thing %d\", \"base\": \"thing\", \"tone\": \"%s\"}\n", i,
		    first + i, i % 2 ? "" : "dark");
		strcat(text, line);
	}
	picture_free(&p);
	snprintf(path, sizeof path, "%s/metadata.jsonl", folder);
	assert_true(write_file(path, text, strlen(text), &e));
}

static long long of(const json_t *o, const char *name)
{
	return (long long)json_integer_value(json_object_get(json_object_get(o, name), "of"));
}

static void an_evaluation_repeats(void **state)
{
	char seen[128], held[128];
	sumi_evaluation *result[2];
	sumi_error e = { 0 };
	model *m = open_tiny();
	(void)state;
	snprintf(seen, sizeof seen, "%s/seen", scratch);
	snprintf(held, sizeof held, "%s/held", scratch);
	mkdir(seen, 0777);
	mkdir(held, 0777);
	write_pictures(seen, 6, 0);
	write_pictures(held, 3, 6);
	sumi_options draw = sumi_defaults();
	draw.steps = 2;
	sumi_evaluation_options o = sumi_evaluation_defaults();
	o.data = seen;
	o.heldout = held;
	o.group = "base";
	o.variant = "tone";
	o.samples = 7;
	o.shown = 4;
	o.draw = &draw;
	for (int i = 0; i < 2; i++)
		if (!(result[i] = sumi_evaluate(m, &o, &e))) fail_saying("%s\n", e.text);
	assert_string_equal(result[0]->json, result[1]->json);
	assert_string_equal(result[0]->table, result[1]->table);
	json_t *y = json_loads(result[0]->json, 0, NULL);
	assert_non_null(y);
	assert_int_equal(of(y, "training_first"), 7);
	assert_int_equal(of(y, "heldout_variant"), 2);
	assert_int_equal(of(y, "single_first"), 1);
	assert_int_equal(json_array_size(json_object_get(y, "samples")), 10);
	assert_true(json_real_value(json_object_get(json_object_get(y, "autoencoder"), "psnr")) > 1);
	assert_true(json_real_value(json_object_get(json_object_get(y, "frechet"), "floor")) > 0);
	json_decref(y);
	assert_int_equal(result[0]->grid->width, 12 * 32 + 11 * 4);
	for (int i = 0; i < 2; i++) sumi_evaluation_free(result[i]);
	o.space = "smell";
	assert_null(sumi_evaluate(m, &o, &e));
	assert_says(e, "smell");
	model_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eigenvectors_restore_a_matrix),
		cmocka_unit_test(distance_has_its_closed_form),
		IN_SCRATCH(sets_are_read_with_their_groups),
		cmocka_unit_test(the_judge_ranks),
		cmocka_unit_test(grids_lay_pictures_out),
		IN_SCRATCH(an_evaluation_repeats),
	};
	return cmocka_run_group_tests_name("eval", tests, NULL, NULL);
}
