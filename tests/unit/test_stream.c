/* test_stream.c - training data from tars and in buckets: order, resuming, ranks, and what is wrong with it. */
#include "scratch.h"
#include "io/picture.h"
#include "tars.h"
#include "train/data/data.h"
#include "train/data/data_bucket.h"
#include <zlib.h>

typedef struct heard {
	int lines;
	char all[8192];
} heard;

static void note(void *context, const char *line)
{
	heard *h = context;
	h->lines++;
	size_t n = strlen(h->all);
	snprintf(h->all + n, sizeof h->all - n, "%s\n", line);
}

static data_options options(heard *h, int batch)
{
	*h = (heard){ 0 };
	return (data_options){ .path = scratch,
		.resolution = 16,
		.pixels = true,
		.batch = batch,
		.ranks = 1,
		.threads = 2,
		.shuffle_buffer = 8,
		.seed = 3,
		.log = note,
		.context = h };
}

/* A picture of one shade, encoded. */
static uint8_t *shade(int width, int height, int value, picture_format format, size_t *bytes)
{
	error e = { 0 };
	picture p;
	uint8_t *coded = NULL;
	assert_true(picture_new(&p, width, height, &e));
	memset(p.rgb, value, (size_t)width * (size_t)height * 3);
	assert_true(picture_encode(&p, format, NULL, 0, &coded, bytes, &e));
	picture_free(&p);
	return coded;
}

static void put_picture(archive *a, const char *name, int width, int height, int value)
{
	size_t bytes;
	uint8_t *coded = shade(width, height, value, strstr(name, ".png") ? PNG : JPEG, &bytes);
	tar_put(a, name, '0', coded, bytes);
	free(coded);
}

/* NAME with samples first … first + count − 1; sample i is of shade 8·i. */
static void write_tar(const char *name, int first, int count)
{
	archive a = { .size = 0 };
	for (int i = first; i < first + count; i++) {
		char file[32], text[64];
		snprintf(file, sizeof file, "%09d.png", i);
		put_picture(&a, file, 18, 16, 8 * i);
		snprintf(text, sizeof text, i % 2 ? "sample %d\n" : "{\"caption\": \"sample %d\", \"width\": 18}", i);
		snprintf(file, sizeof file, i % 2 ? "%09d.txt" : "%09d.json", i);
		tar_put(&a, file, '0', text, strlen(text));
	}
	tar_end(&a);
	scratch_write(name, a.data, a.size);
}

static void three_tars(void)
{
	write_tar("00000.tar", 0, 5);
	write_tar("00001.tar", 5, 6);
	write_tar("00002.tar", 11, 5);
}

static int number_of(const data_batch *b, int i)
{
	int n = -1;
	assert_int_equal(sscanf(b->captions[i], "sample %d", &n), 1);
	size_t each = (size_t)b->height * (size_t)b->width * 3;
	assert_float_equal(b->pixels[(size_t)i * each], (float)(8 * n) / 127.5f - 1, 1e-6f);
	assert_int_equal(b->index[i], -1);
	return n;
}

static void test_every_sample_is_met(void **state)
{
	(void)state;
	three_tars();
	heard h;
	error e = { 0 };
	data_options o = options(&h, 4);
	data *d = data_open(&o, &e);
	assert_non_null(d);
	assert_int_equal(data_count(d), -1);
	int seen[16] = { 0 }, in_order = 0, last = -1;
	for (int i = 0; i < 40; i++) {
		data_batch b;
		assert_true(data_next(d, &b, &e));
		for (int k = 0; k < 4; k++) {
			int n = number_of(&b, k);
			seen[n]++;
			in_order += n == last + 1;
			last = n;
		}
	}
	for (int i = 0; i < 16; i++) assert_in_range(seen[i], 8, 12); /* ten epochs, but for what waits in the buffer */
	assert_in_range(in_order, 0, 40);                             /* of 160 */
	assert_int_equal(h.lines, 0);
	data_close(d);
}

static void test_resumes_where_it_was(void **state)
{
	(void)state;
	three_tars();
	heard h;
	error e = { 0 };
	data_options o = options(&h, 3), later = o;
	later.first_batch = 17;
	later.threads = 1;
	data *whole = data_open(&o, &e), *resumed = data_open(&later, &e);
	for (int i = 0; i < 25; i++) {
		data_batch a, b;
		assert_true(data_next(whole, &a, &e));
		if (i < 17) continue;
		assert_true(data_next(resumed, &b, &e));
		assert_memory_equal(a.pixels, b.pixels, 3 * 16 * 16 * 3 * sizeof(float));
		assert_memory_equal(a.seeds, b.seeds, 3 * sizeof *a.seeds);
	}
	data_close(whole);
	data_close(resumed);
}

/* Tars are split where there are enough of them, samples where not: nothing is met by two processes. */
static void test_ranks_share(void **state)
{
	(void)state;
	three_tars();
	for (int ranks = 2; ranks < 6; ranks += 3) {
		heard h;
		error e = { 0 };
		data_options o = options(&h, 1);
		o.shuffle_buffer = 2;
		o.ranks = ranks;
		int owner[16], count = 0;
		for (int i = 0; i < 16; i++) owner[i] = -1;
		for (int r = 0; r < ranks; r++) {
			o.rank = r;
			data *d = data_open(&o, &e);
			assert_non_null(d);
			for (int i = 0; i < (ranks == 2 ? 5 : 3); i++) { /* within the first epoch */
				data_batch b;
				assert_true(data_next(d, &b, &e));
				int n = number_of(&b, 0);
				assert_int_equal(owner[n], -1);
				owner[n] = r;
				count++;
			}
			data_close(d);
		}
		assert_int_equal(count, ranks == 2 ? 10 : 15);
	}
}

static void test_once_in_order(void **state)
{
	(void)state;
	three_tars();
	heard h;
	error e = { 0 };
	data_options o = options(&h, 7);
	o.once = true;
	data *d = data_open(&o, &e);
	data_batch b;
	int n = 0;
	do {
		assert_true(data_next(d, &b, &e));
		for (int k = 0; k < b.count; k++) assert_int_equal(number_of(&b, k), n++);
	} while (b.count);
	assert_int_equal(n, 16);
	data_close(d);
}

static bool count_texts(void *context, const char *text)
{
	(void)text;
	return ++*(int *)context < 12;
}

/* A JPEG cut in the middle, a picture that is none, one of 1×1, one without caption, one whose caption is not UTF-8,
 * a tar cut in the middle, and one that is no tar. */
static void test_bad_samples_are_named_and_replaced(void **state)
{
	(void)state;
	archive a = { .size = 0 };
	size_t bytes;
	uint8_t *jpeg = shade(64, 64, 40, JPEG, &bytes);
	tar_put(&a, "0.jpg", '0', jpeg, bytes / 2);
	tar_put(&a, "0.txt", '0', "truncated", 9);
	free(jpeg);
	tar_put(&a, "1.jpg", '0', "<html>", 6);
	put_picture(&a, "2.png", 1, 1, 9);
	put_picture(&a, "3.png", 16, 16, 8);
	put_picture(&a, "4.png", 16, 16, 16);
	tar_put(&a, "4.txt", '0', "caf\xe9", 4);
	put_picture(&a, "5.png", 16, 16, 24);
	tar_put(&a, "5.txt", '0', "fine", 4);
	put_picture(&a, "6.png", 16, 16, 32);
	tar_put(&a, "6.txt", '0', "cut", 3);
	scratch_write("bad.tar", a.data, a.size - 510);
	scratch_write("none.tar", "this is no tar", 14);
	heard h;
	error e = { 0 };
	data_options o = options(&h, 2);
	data *d = data_open(&o, &e);
	assert_non_null(d);
	int fine = 0;
	for (int i = 0; i < 20; i++) {
		data_batch b;
		assert_true(data_next(d, &b, &e));
		for (int k = 0; k < 2; k++) {
			assert_true(!*b.captions[k] || !strcmp(b.captions[k], "fine"));
			fine += *b.captions[k] != 0;
		}
	}
	assert_in_range(fine, 5, 35);
	data_counts c = data_counted(d);
	assert_int_equal(c.broken, 5); /* three pictures and two tars */
	assert_int_equal(c.uncaptioned, 40 - fine);
	assert_int_equal(h.lines, 6);
	static const char *const said[] = { "bad.tar: 0.jpg", "bad.tar: 1.jpg", "bad.tar: 2.png",
		"4.png: the caption is not UTF-8", "bad.tar: is cut", "none.tar: is cut" };
	for (int i = 0; i < 6; i++)
		if (!strstr(h.all, said[i])) fail_saying("expected \"%s\" in:\n%s", said[i], h.all);
	int texts = 0;
	assert_true(data_texts(d, 0, count_texts, &texts, &e));
	assert_int_equal(texts, 2);
	data_close(d);
	o.once = true;
	o.batch = 3;
	d = data_open(&o, &e);
	data_batch b;
	for (fine = 0; data_next(d, &b, &e) && b.count;) fine += b.count;
	assert_int_equal(fine, 3);
	data_close(d);
}

static void test_no_sample_at_all(void **state)
{
	(void)state;
	archive a = { .size = 0 };
	tar_put(&a, "words.txt", '0', "only", 4);
	tar_end(&a);
	scratch_write("0.tar", a.data, a.size);
	heard h;
	error e = { 0 };
	data_options o = options(&h, 1);
	data_batch b;
	data *d = data_open(&o, &e);
	assert_non_null(d);
	assert_false(data_next(d, &b, &e));
	assert_says(e, "hold no picture");
	data_close(d);
	a.size = 0;
	tar_put(&a, "0.jpg", '0', "broken", 6);
	tar_end(&a);
	scratch_write("0.tar", a.data, a.size);
	e = (error){ 0 };
	d = data_open(&o, &e);
	assert_false(data_next(d, &b, &e));
	assert_says(e, "can be read");
	data_close(d);
	o.path = scratch_path("missing.tar");
	e = (error){ 0 };
	assert_null(data_open(&o, &e));
	assert_says(e, "missing.tar");
}

/* A picture that says it has 20,000×20,000 pixels takes no memory for them. */
static void test_huge_picture(void **state)
{
	(void)state;
	size_t bytes;
	uint8_t *png = shade(8, 8, 9, PNG, &bytes);
	for (int i = 0; i < 2; i++) png[18 + 4 * i] = 20000 >> 8, png[19 + 4 * i] = 20000 & 255;
	uint32_t sum = (uint32_t)crc32(0, png + 12, 17);
	for (int i = 0; i < 4; i++) png[29 + i] = (uint8_t)(sum >> (24 - 8 * i));
	scratch_write("huge.png", png, bytes);
	free(png);
	png = shade(16, 16, 9, PNG, &bytes);
	scratch_write("fine.png", png, bytes);
	free(png);
	heard h;
	error e = { 0 };
	data_options o = options(&h, 2);
	data *d = data_open(&o, &e);
	data_batch b;
	for (int i = 0; i < 3; i++) assert_true(data_next(d, &b, &e));
	assert_int_equal(data_counted(d).broken, 1);
	assert_non_null(strstr(h.all, "huge.png"));
	assert_non_null(strstr(h.all, "20000 × 20000"));
	data_close(d);
}

/* ── crop, flip, buckets ── */
/* 32×16, columns from black to white, brighter by 8 each. */
static void write_ramp(const char *name)
{
	error e = { 0 };
	picture p;
	assert_true(picture_new(&p, 32, 16, &e));
	for (int i = 0; i < 32 * 16 * 3; i++) p.rgb[i] = (uint8_t)(i / 3 % 32 * 8);
	assert_true(picture_write(&p, scratch_path(name), NULL, 0, &e));
	picture_free(&p);
}

static int column_of(float value) { return (int)((value + 1) * 127.5f / 8 + 0.5f); }

static void test_crop_and_flip(void **state)
{
	(void)state;
	write_ramp("ramp.png");
	heard h;
	error e = { 0 };
	data_options o = options(&h, 1);
	data_batch b;
	data *d = data_open(&o, &e);
	assert_true(data_next(d, &b, &e));
	assert_int_equal(column_of(b.pixels[0]), 8); /* the centre */
	assert_int_equal(column_of(b.pixels[15 * 3]), 23);
	data_close(d);
	o.random_crop = o.random_flip = true;
	d = data_open(&o, &e);
	int flipped = 0, firsts[32] = { 0 }, places = 0;
	for (int i = 0; i < 300; i++) {
		assert_true(data_next(d, &b, &e));
		int first = column_of(b.pixels[0]), last = column_of(b.pixels[15 * 3]);
		assert_int_equal(abs(last - first), 15);
		flipped += last < first;
		firsts[first < last ? first : last]++;
	}
	for (int i = 0; i < 32; i++) places += firsts[i] > 0;
	assert_int_equal(places, 17);
	assert_in_range(flipped, 110, 190);
	data_close(d);
}

static void test_bucket_sizes(void **state)
{
	(void)state;
	bucket_size list[MOST_BUCKETS];
	int n = bucket_sizes(512, 64, 256, 1024, list);
	assert_in_range(n, 13, 26);
	for (int i = 0; i < n; i++) {
		assert_int_equal(list[i].height % 64 + list[i].width % 64, 0);
		assert_in_range(list[i].height * list[i].width, 512 * 512 * 3 / 4, 512 * 512);
	}
	bucket_size s = bucket_for(list, n, 3000, 3000);
	assert_int_equal(s.height, 512);
	assert_int_equal(s.width, 512);
	s = bucket_for(list, n, 1080, 1920);
	assert_int_equal(s.height, 384);
	assert_int_equal(s.width, 640);
	s = bucket_for(list, n, 10000, 10);
	assert_int_equal(s.height, 1024);
	assert_int_equal(s.width, 256);
	assert_int_equal(bucket_sizes(64, 64, 256, 512, list), 0);
}

/* Batches hold one size; wide pictures come wide, high ones high; one process of 4 sees what two of 2 see. */
static void test_buckets(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++) {
		size_t bytes;
		char name[32];
		uint8_t *png = shade(i % 3 == 0 ? 64 : 20, i % 3 == 1 ? 64 : 20, 10 * i, PNG, &bytes);
		snprintf(name, sizeof name, "%02d.png", i);
		scratch_write(name, png, bytes);
		free(png);
	}
	heard h;
	error e = { 0 };
	data_options o = options(&h, 4), two = options(&h, 2);
	o.bucket_step = two.bucket_step = 8;
	o.bucket_min = two.bucket_min = 8;
	o.bucket_max = two.bucket_max = 32;
	two.ranks = 2;
	data *d = data_open(&o, &e), *half[2];
	for (int r = 0; r < 2; r++) {
		two.rank = r;
		half[r] = data_open(&two, &e);
	}
	int sizes[3] = { 0 };
	for (int i = 0; i < 30; i++) {
		data_batch b, c;
		assert_true(data_next(d, &b, &e));
		int kind = b.width > b.height ? 0 : b.width < b.height ? 1 : 2;
		sizes[kind]++;
		assert_int_equal(b.width * b.height, kind == 2 ? 256 : 192);
		for (int k = 0; k < 4; k++) assert_int_equal(b.index[k] % 3, kind);
		for (int r = 0; r < 2; r++) {
			assert_true(data_next(half[r], &c, &e));
			assert_int_equal(c.width, b.width);
			assert_memory_equal(c.pixels, b.pixels + r * 2 * b.width * b.height * 3,
			    (size_t)(2 * b.width * b.height * 3) * sizeof(float));
		}
	}
	for (int i = 0; i < 3; i++) assert_in_range(sizes[i], 7, 13);
	data_close(d);
	data_close(half[0]);
	data_close(half[1]);
	o.once = true;
	d = data_open(&o, &e);
	int n = 0;
	for (data_batch b; data_next(d, &b, &e) && b.count;) n += b.count;
	assert_int_equal(n, 12);
	data_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = { IN_SCRATCH(test_every_sample_is_met), IN_SCRATCH(test_resumes_where_it_was),
		IN_SCRATCH(test_ranks_share), IN_SCRATCH(test_once_in_order),
		IN_SCRATCH(test_bad_samples_are_named_and_replaced), IN_SCRATCH(test_no_sample_at_all),
		IN_SCRATCH(test_huge_picture), IN_SCRATCH(test_crop_and_flip), cmocka_unit_test(test_bucket_sizes),
		IN_SCRATCH(test_buckets) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
