/* test_new_words.c - words learned by textual inversion: found in prompts, read from the files of every tool. */
#include "scratch.h"
#include "io/weights.h"
#include "checkpoint/embeddings.h"

static tokenizer *tokens;
enum { SIZE = 49408, WIDTH = 8 };

static int open_tokens(void **state)
{
	(void)state;
	return (tokens = tokenizer_open(CLIP, NULL, 0, NULL)) ? 0 : -1;
}

static int close_tokens(void **state)
{
	(void)state;
	tokenizer_close(tokens);
	return 0;
}

static const new_word words[] = { { "zork", 0, 2 }, { "zork fox", 2, 1 }, { "<cat-toy>", 3, 1 } };

/* How many of the ids are new, and that the others are what the tokenizer makes of the rest. */
static void check(const char *text, const char *rest, const int32_t *rows, size_t count)
{
	error e = { 0 };
	int32_t ids[64], plain[64];
	size_t n, others, found = 0, at = 0;
	assert_true(new_words_encode(words, 3, tokens, text, strlen(text), ids, 64, &n, &e));
	assert_true(tokenizer_encode(tokens, rest, strlen(rest), plain, 64, &others, &e));
	assert_int_equal(n, others + count);
	for (size_t i = 0; i < n; i++) {
		if (ids[i] >= SIZE)
			assert_int_equal(ids[i] - SIZE, rows[found++]);
		else
			assert_int_equal(ids[i], plain[at++]);
	}
	assert_int_equal(found, count);
	assert_true(new_words_in(words, 3, text) == (count > 0));
}

static void test_names_in_texts(void **state)
{
	(void)state;
	static const int32_t both[] = { 0, 1 }, longer[] = { 2 }, twice[] = { 0, 1, 3 };
	check("a red fox", "a red fox", NULL, 0);
	check("", "", NULL, 0);
	check("zork", "", both, 2);
	check("a ZORK, sitting", "a , sitting", both, 2);
	check("a zork fox", "a", longer, 1);
	check("zorks and zork_2 and unzork", "zorks and zork_2 and unzork", NULL, 0);
	check("zork<cat-toy>", "", twice, 3);
	check("my<cat-toy>s", "my s", (const int32_t[]){ 3 }, 1);
}

static void test_room_and_padding(void **state)
{
	(void)state;
	error e = { 0 };
	int32_t ids[6], rows[6];
	size_t n;
	assert_true(new_words_encode(words, 3, tokens, "a zork zork", 11, ids, 2, &n, &e));
	assert_int_equal(n, 5);
	assert_int_equal(ids[1], SIZE);
	assert_true(new_words_encode(words, 3, tokens, "a zork", 6, NULL, 0, &n, &e));
	assert_int_equal(n, 3);
	assert_true(new_words_encode_padded(words, 3, tokens, "a zork", ids, 6, &e));
	assert_int_equal(ids[0], tokenizer_start(tokens));
	assert_int_equal(ids[3], SIZE + 1);
	assert_int_equal(ids[4], tokenizer_end(tokens));
	assert_int_equal(ids[5], tokenizer_pad(tokens));
	new_words_split(tokens, ids, rows, 6);
	assert_int_equal(ids[2], 0);
	assert_int_equal(rows[2], 1);
	assert_int_equal(rows[3], 2);
	assert_int_equal(rows[4], 0);
	assert_false(new_words_encode(words, 3, tokens, "\xff zork", 6, ids, 6, &n, &e));
	assert_int_equal(e.status, BAD_USAGE);
}

static void write_vectors(const char *file, const char *key, dtype d, int axes, int count, int width)
{
	error e = { 0 };
	float values[64];
	char narrow[256];
	for (int i = 0; i < count * width; i++) values[i] = (float)(i + 1);
	convert(narrow, d, values, F32, (size_t)(count * width));
	int64_t dims[] = { count, width };
	weights_writer *w = weights_writer_new(scratch_path(file), &e);
	assert_true(w && weights_writer_declare(w, key, d, axes, axes == 1 ? dims + 1 : dims, &e) &&
	            weights_writer_append(w, narrow, (size_t)(count * width) * dtype_size(d), &e) &&
	            weights_writer_finish(w, &e));
}

static void expect_unusable(const embeddings *y, const char *text, const char *reason)
{
	int i = embeddings_unusable_in(y, 0, text);
	if (!reason) {
		assert_int_equal(i, -1);
		return;
	}
	assert_in_range(i, 0, y->unusable_count - 1);
	if (!strstr(y->unusable[i].reason, reason)) fail_saying("%s\n", y->unusable[i].reason);
}

static const int one[TEXT_ENCODERS] = { WIDTH }, two[TEXT_ENCODERS] = { WIDTH, WIDTH / 2 };

static void test_files_of_every_tool(void **state)
{
	(void)state;
	error e = { 0 };
	embeddings y;
	write_vectors("kohya.safetensors", "emb_params", F32, 2, 3, WIDTH);
	write_vectors("diffusers.bin", "<cat-toy>", F16, 1, 1, WIDTH); /* judged by content */
	write_vectors("other.safetensors", "emb_params", F32, 2, 2, WIDTH / 2);
	scratch_write("broken.pt", "no model", 8);
	scratch_write("readme.txt", "", 0);
	write_vectors("long.safetensors", "emb_params", F32, 2, 7, WIDTH);
	write_vectors("integers.safetensors", "emb_params", I64, 2, 1, WIDTH);
	scratch_write("pointer.bin", "version https://git-lfs.github.com/spec/v1\n", 43);
	scratch_write("hidden.png", "\x89PNG....IHDR....tEXtsd-ti-embedding\0eyJ", 39);
	scratch_write("output.png", "\x89PNG....IHDR....IDAT", 20);
	scratch_write("kohya.pt", "no model", 8);
	assert_true(embeddings_read(&y, scratch, one, 6, &e));
	expect_unusable(&y, "a Broken cup", "not a model");
	expect_unusable(&y, "in the style of (other:1.2)", "numbers, this model's text encoder takes");
	expect_unusable(&y, "long", "7 vectors");
	expect_unusable(&y, "integers", "no vectors");
	expect_unusable(&y, "a pointer, old", "Git LFS pointer");
	expect_unusable(&y, "hidden things", "pictures");
	expect_unusable(
	    &y, "the output of a longer kohya", NULL); /* no word, no word, and there is a file that can be used */
	assert_int_equal(
	    embeddings_unusable_in(&y, embeddings_unusable_in(&y, 0, "long pointer") + 1, "long pointer") >= 0, 1);
	assert_int_equal(y.count, 2);
	assert_int_equal(y.row_count, 4);
	assert_string_equal(y.words[0].name, "diffusers");
	assert_string_equal(y.words[1].name, "kohya");
	assert_int_equal(y.words[1].first, 1);
	assert_int_equal(y.words[1].count, 3);
	for (int i = 0; i < WIDTH; i++) assert_true(y.rows[0][i] == (float)(i + 1));
	for (int i = 0; i < 3 * WIDTH; i++) assert_true(y.rows[0][WIDTH + i] == (float)(i + 1));
	embeddings_free(&y);
	assert_false(embeddings_read(&y, scratch_path("none"), one, 6, &e));
	assert_says(e, "none");
}

/* A file for SDXL: vectors of each of its two encoders. */
static void write_pair(const char *file, int l, int g, int width_g)
{
	error e = { 0 };
	float values[64];
	for (int i = 0; i < 64; i++) values[i] = (float)(i + 1);
	int64_t of_l[] = { l, WIDTH }, of_g[] = { g, width_g };
	weights_writer *w = weights_writer_new(scratch_path(file), &e);
	assert_true(w && weights_writer_declare(w, "clip_g", F32, 2, of_g, &e) &&
	            weights_writer_declare(w, "clip_l", F32, 2, of_l, &e) &&
	            weights_writer_append(w, values, (size_t)(g * width_g) * sizeof *values, &e) &&
	            weights_writer_append(w, values, (size_t)(l * WIDTH) * sizeof *values, &e) &&
	            weights_writer_finish(w, &e));
}

static void test_files_for_two_encoders(void **state)
{
	(void)state;
	error e = { 0 };
	embeddings y;
	write_pair("good.safetensors", 2, 2, WIDTH / 2);
	write_pair("uneven.safetensors", 2, 1, WIDTH / 2);
	write_pair("wide.safetensors", 1, 1, WIDTH);
	write_vectors("single.safetensors", "emb_params", F32, 2, 1, WIDTH);
	assert_true(embeddings_read(&y, scratch, two, 6, &e));
	assert_int_equal(y.count, 1);
	assert_string_equal(y.words[0].name, "good");
	assert_int_equal(y.words[0].count, 2);
	for (int i = 0; i < 2 * WIDTH; i++) assert_true(y.rows[0][i] == (float)(i + 1));
	for (int i = 0; i < WIDTH; i++) assert_true(y.rows[1][i] == (float)(i + 1));
	expect_unusable(&y, "uneven", "2 vectors for one text encoder and 1 for another");
	expect_unusable(&y, "wide", "numbers, this model's text encoder takes");
	expect_unusable(&y, "single", "this model has two");
	embeddings_free(&y);
	assert_true(embeddings_read(&y, scratch, one, 6, &e));
	assert_int_equal(y.count, 1);
	expect_unusable(&y, "good", "this model has one");
	embeddings_free(&y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_in_texts),
		cmocka_unit_test(test_room_and_padding),
		IN_SCRATCH(test_files_of_every_tool),
		IN_SCRATCH(test_files_for_two_encoders),
	};
	return cmocka_run_group_tests(tests, open_tokens, close_tokens);
}
