/* test_data.c - the training data: what a folder holds, in which order it comes, and what happens to bad data. */
#include "io/picture.h"
#include "text/codepoints.h"
#include "train/data/data.h"
#include "train/data/data_sample.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct folder {
	char path[64];
	int logged;
	char last[512];
} folder;

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void write_picture(const folder *f, const char *name, int width, int height, uint8_t shade)
{
	error e = { 0 };
	picture p;
	char path[128];
	assert_true(picture_new(&p, width, height, &e));
	memset(p.rgb, shade, (size_t)width * (size_t)height * 3);
	snprintf(path, sizeof path, "%s/%s", f->path, name);
	assert_true(picture_write(&p, path, NULL, 0, &e));
	picture_free(&p);
}

static void caption(const folder *f, const char *name, const char *text)
{
	char path[128];
	snprintf(path, sizeof path, "%s/%s", f->path, name);
	write_text(path, text);
}

static int make_folder(void **state)
{
	folder *f = calloc(1, sizeof *f);
	strcpy(f->path, "/tmp/sumi-data-XXXXXX");
	assert_non_null(mkdtemp(f->path));
	*state = f;
	return 0;
}

static int remove_folder(void **state)
{
	folder *f = *state;
	char command[128];
	snprintf(command, sizeof command, "rm -rf %s", f->path);
	int result = system(command);
	free(f);
	return result;
}

static void note(void *context, const char *line)
{
	folder *f = context;
	f->logged++;
	snprintf(f->last, sizeof f->last, "%s", line);
}

static data_options options(folder *f, int batch, int threads)
{
	return (data_options){ .path = f->path,
		.resolution = 16,
		.pixels = true,
		.batch = batch,
		.ranks = 1,
		.threads = threads,
		.seed = 7,
		.log = note,
		.context = f };
}

static void four_shades(const folder *f)
{
	for (int i = 0; i < 4; i++) {
		char name[32];
		snprintf(name, sizeof name, "%d.png", i);
		write_picture(f, name, 20 + i, 16, (uint8_t)(60 * i));
		snprintf(name, sizeof name, "%d.txt", i);
		caption(f, name, (const char *[]){ "black", " dark grey\n", "grey", "light" }[i]);
	}
}

static void test_every_picture_once_an_epoch(void **state)
{
	folder *f = *state;
	four_shades(f);
	error e = { 0 };
	data_options o = options(f, 2, 3);
	data *d = data_open(&o, &e);
	assert_non_null(d);
	assert_int_equal(data_count(d), 4);
	for (int epoch = 0; epoch < 3; epoch++) {
		int seen[4] = { 0 };
		for (int i = 0; i < 2; i++) {
			data_batch b;
			assert_true(data_next(d, &b, &e));
			for (int k = 0; k < 2; k++) {
				int64_t at = b.index[k];
				seen[at]++;
				assert_string_equal(b.captions[k], ((const char *[]){ "black", "dark grey", "grey", "light" }[at]));
				assert_float_equal(b.pixels[k * 16 * 16 * 3], (float)(60 * at) / 127.5f - 1, 1e-6f);
			}
		}
		for (int k = 0; k < 4; k++) assert_int_equal(seen[k], 1);
	}
	data_close(d);
}

/* Any number of threads, and a run that was resumed, give the same samples; two ranks share what one would see. */
static void test_place_is_one_number(void **state)
{
	folder *f = *state;
	four_shades(f);
	error e = { 0 };
	data_options whole = options(f, 4, 1), halves = options(f, 2, 2), resumed = options(f, 4, 3);
	whole.random_crop = halves.random_crop = resumed.random_crop = true;
	whole.crop = halves.crop = resumed.crop = 9;
	whole.random_flip = halves.random_flip = resumed.random_flip = true;
	resumed.first_batch = 3;
	data *w = data_open(&whole, &e), *r = data_open(&resumed, &e), *h[2];
	halves.ranks = 2;
	h[0] = data_open(&halves, &e);
	halves.rank = 1;
	h[1] = data_open(&halves, &e);
	assert_true(w && r && h[0] && h[1]);
	for (int i = 0; i < 6; i++) {
		data_batch a, b;
		size_t half = 2 * 9 * 9 * 3;
		assert_true(data_next(w, &a, &e));
		for (int k = 0; k < 2; k++) {
			assert_true(data_next(h[k], &b, &e));
			assert_memory_equal(a.pixels + (size_t)k * half, b.pixels, half * sizeof(float));
			assert_memory_equal(a.seeds + 2 * k, b.seeds, 2 * sizeof *b.seeds);
		}
		if (i < 3) continue;
		assert_true(data_next(r, &b, &e));
		assert_memory_equal(a.pixels, b.pixels, 2 * half * sizeof(float));
	}
	data_close(w);
	data_close(r);
	data_close(h[0]);
	data_close(h[1]);
}

static void test_bad_pictures_are_named_and_replaced(void **state)
{
	folder *f = *state;
	four_shades(f);
	caption(f, "broken.jpg", "this is no picture");
	caption(f, "broken.txt", "never seen");
	write_picture(f, "one.png", 1, 1, 0);
	error e = { 0 };
	data_options o = options(f, 6, 2);
	data *d = data_open(&o, &e);
	assert_non_null(d);
	for (int i = 0; i < 3; i++) {
		data_batch b;
		assert_true(data_next(d, &b, &e));
		for (int k = 0; k < 6; k++) {
			assert_string_not_equal(b.captions[k], "never seen");
			assert_in_range(b.index[k], 0, 3);
		}
	}
	assert_int_equal(data_counted(d).broken, 2);
	assert_int_equal(f->logged, 2);
	assert_non_null(strstr(f->last, f->path));
	data_close(d);
}

static void test_metadata_keywords_vary(void **state)
{
	folder *f = *state;
	write_picture(f, "a.png", 16, 16, 9);
	caption(f, "metadata.jsonl",
	    "{\"file_name\": \"a.png\", \"text\": \"grinning face\", \"keywords\": [\"face\", \"grin\"]}\n"
	    "{\"text\": \"no file\"}\nnot json\n{\"file_name\": \"../secret.png\"}\n");
	error e = { 0 };
	data_options o = options(f, 1, 1);
	o.vary_captions = true;
	data *d = data_open(&o, &e);
	assert_non_null(d);
	assert_int_equal(data_count(d), 1);
	assert_int_equal(f->logged, 3);
	int name = 0, both = 0, keywords = 0;
	for (int i = 0; i < 90; i++) {
		data_batch b;
		assert_true(data_next(d, &b, &e));
		bool has_name = strstr(b.captions[0], "grinning face"), more = strchr(b.captions[0], ',') != NULL;
		name += has_name && !more;
		both += has_name && more;
		keywords += !has_name;
	}
	assert_in_range(name, 30, 60);
	assert_in_range(both, 10, 36);
	assert_in_range(keywords, 10, 36);
	data_close(d);
}

static void test_repeats_and_tokens(void **state)
{
	folder *f = *state;
	char path[128];
	snprintf(path, sizeof path, "%s/3_sks dog", f->path);
	assert_int_equal(mkdir(path, 0777), 0);
	write_picture(f, "3_sks dog/a.png", 16, 16, 9);
	error e = { 0 };
	data_options o = options(f, 3, 1);
	data *d = data_open(&o, &e);
	assert_non_null(d);
	data_batch b;
	assert_true(data_next(d, &b, &e));
	assert_int_equal(data_count(d), 3);
	assert_string_equal(b.captions[1], "sks dog");
	data_close(d);
}

static void test_metadata_repeats(void **state)
{
	folder *f = *state;
	write_picture(f, "a.png", 16, 16, 9);
	write_picture(f, "b.png", 16, 16, 9);
	caption(f, "metadata.jsonl",
	    "{\"file_name\": \"a.png\", \"text\": \"rare\", \"keywords\": [\"seldom\"], \"repeats\": 3}\n"
	    "{\"file_name\": \"b.png\", \"text\": \"common\", \"repeats\": -2}\n");
	error e = { 0 };
	data_options o = options(f, 4, 1);
	data *d = data_open(&o, &e);
	assert_non_null(d);
	assert_int_equal(data_count(d), 4);
	data_batch b;
	int rare = 0;
	assert_true(data_next(d, &b, &e));
	for (int k = 0; k < 4; k++) rare += !strcmp(b.captions[k], "rare");
	assert_int_equal(rare, 3);
	data_close(d);
}

static void test_empty_folder(void **state)
{
	folder *f = *state;
	error e = { 0 };
	data_options o = options(f, 1, 1);
	assert_null(data_open(&o, &e));
	assert_int_equal(e.status, BAD_FILE);
	assert_non_null(strstr(e.text, "no pictures"));
	caption(f, "only.png", "broken");
	e = (error){ 0 };
	data *d = data_open(&o, &e);
	data_batch b;
	assert_non_null(d);
	assert_false(data_next(d, &b, &e));
	assert_non_null(strstr(e.text, "can be read"));
	data_close(d);
}

static void test_captions_must_be_utf8(void **state)
{
	folder *f = *state;
	write_picture(f, "a.png", 16, 16, 9);
	caption(f, "a.txt", "caf\xe9");
	error e = { 0 };
	data_options o = options(f, 1, 1);
	data *d = data_open(&o, &e);
	data_batch b;
	assert_non_null(d);
	assert_non_null(strstr(f->last, "not UTF-8"));
	assert_true(data_next(d, &b, &e));
	assert_string_equal(b.captions[0], "");
	assert_int_equal(data_counted(d).uncaptioned, 1);
	data_close(d);
	assert_true(is_utf8("caf\xc3\xa9 \xf0\x9f\x98\x80", 10));
	assert_false(is_utf8("\xc0\x80", 2));
	assert_false(is_utf8("\xed\xa0\x80", 3));
	assert_false(is_utf8("\xf0\x9f\x98", 3));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
	const struct CMUnitTest tests[] = { TEST(test_every_picture_once_an_epoch), TEST(test_place_is_one_number),
		TEST(test_bad_pictures_are_named_and_replaced), TEST(test_metadata_keywords_vary),
		TEST(test_repeats_and_tokens), TEST(test_metadata_repeats), TEST(test_empty_folder),
		TEST(test_captions_must_be_utf8) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
