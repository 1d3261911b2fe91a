/* test_safetensors.c - reading, writing and refusing safetensors files and indexes of shards. */
#include "reading.h"

/* A file with this header, `length` in place of its true length where that is not 0, and so many bytes of data. */
static const char *make(const char *header, uint64_t length, size_t data_bytes)
{
	static uint8_t bytes[4096];
	size_t n = strlen(header);
	assert_true(8 + n + data_bytes <= sizeof bytes);
	if (!length) length = n;
	for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(length >> 8 * i);
	memcpy(bytes + 8, header, n);
	for (size_t i = 0; i < data_bytes; i++) bytes[8 + n + i] = (uint8_t)i;
	return scratch_write("x.safetensors", bytes, 8 + n + data_bytes);
}

static void reads_a_small_file(void **state)
{
	(void)state;
	error e = { 0 };
	weights *w = weights_open(make("{\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
	                               "\"__metadata__\":{\"format\":\"pt\",\"k\":\"v\"},"
	                               "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
	                               "\"none\":{\"dtype\":\"F32\",\"shape\":[4,0],\"data_offsets\":[16,16]}}  ",
	                              0, 16),
	    &e);
	assert_non_null(w);
	assert_int_equal(weights_count(w), 3);
	assert_string_equal(weights_at(w, 0)->name, "a"); /* as the data lie */
	assert_string_equal(weights_at(w, 1)->name, "b");
	assert_null(weights_at(w, 3));
	const weight *b = weights_find(w, "b");
	assert_ptr_equal(b, weights_at(w, 1));
	assert_int_equal(b->dtype, F16);
	assert_int_equal(b->ndims, 2);
	assert_int_equal(b->shape[1], 3);
	assert_int_equal(b->bytes, 12);
	assert_int_equal(((const uint8_t *)b->data)[0], 4);
	assert_int_equal(weight_elements(b), 6);
	assert_int_equal(weights_find(w, "none")->bytes, 0);
	assert_null(weights_find(w, "c"));
	assert_string_equal(weights_metadata(w, "k"), "v");
	assert_null(weights_metadata(w, "z"));
	const char *key;
	assert_string_equal(weights_metadata_at(w, 0, &key), "pt");
	assert_string_equal(key, "format");
	assert_null(weights_metadata_at(w, 2, &key));
	weights_advise_unused(w, b->data, b->bytes);
	assert_int_equal(((const uint8_t *)b->data)[11], 15);
	assert_null(weights_need(w, "c", &e));
	assert_says(e, "has no tensor \"c\"");
	weights_close(w);
}

static void refuses_a_type_only_when_used(void **state)
{
	(void)state;
	error e = { 0 };
	weights *w = weights_open(make("{\"a\":{\"dtype\":\"F8_E8M0\",\"shape\":[4],\"data_offsets\":[0,4]}}", 0, 4), &e);
	assert_non_null(w);
	assert_int_equal(weights_find(w, "a")->dtype, NO_DTYPE);
	assert_string_equal(weights_find(w, "a")->type_name, "F8_E8M0");
	assert_null(weights_need(w, "a", &e));
	assert_says(e, "\"a\" is of type F8_E8M0");
	weights_close(w);
}

static void refuses_damaged_headers(void **state)
{
	(void)state;
	refused(make("{}", 1000, 0), "cut short: its header has 1000 bytes");
	refused(make("{}", 100000001, 0), "header would have 100000001 bytes");
	refused(make("{\"a\":", 0, 0), "header is not JSON");
	refused(make("{}x", 0, 0), "header is not JSON");
	refused(make("{\"a\":1}", 0, 0), "\"a\" is not described");
	refused(make("{\"a\":{}}", 0, 0), "\"a\" has no dtype");
	refused(make("{\"a\":{\"dtype\":\"F32\"}}", 0, 0), "\"a\" has no shape");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, 4), "data_offsets of the tensor \"a\"");
	refused(make("{\"a\":{\"dtype\":\"Q7\",\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 4), "unknown type, Q7");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 0, 4), "dimension 0");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 0, 4), "dimension 0");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 0, 4),
	    "9 dimensions, expected at most 8");
	refused(make("{\"__metadata__\":{\"a\":1}}", 0, 0), "metadata \"a\" is not a string");
	refused(make("{\"__metadata__\":[]}", 0, 0), "__metadata__ is not an object");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
	             "\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
	            0, 0),
	    "duplicate");
}

static void refuses_wrong_places(void **state)
{
	(void)state;
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 0, 4),
	    "\"a\" has 4 bytes, its shape and type need 8");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 0, 4), "cut short");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 6), "2 bytes behind the last");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 0, 8), "4 bytes before");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 0, 8), "not [begin, end]");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 0, 8), "not [begin, end]");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
	             "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
	            0, 6),
	    "\"a\" and \"b\" overlap");
	refused(make("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, 0),
	    "no number of bytes");
	refused(make("{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 0, 2), "no number of bytes");
	refused(
	    make("{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]}}", 0, 0), "not JSON");
}

static void refuses_what_is_no_model(void **state)
{
	(void)state;
	static const struct {
		const char *content, *words;
	} cases[] = {
		{ "<!DOCTYPE html><html>", "a web page" },
		{ "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer" },
		{ "\x89PNG\r\n\x1a\n", "a picture" },
		{ "{\"architectures\":[]}", "JSON that is not an index" },
		{ "hello", "is not a model" },
		{ "\x1f\x8b\x08", "a gzip archive" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		refused(scratch_write("y", cases[i].content, strlen(cases[i].content)), cases[i].words);
	static const char zeros[5000];
	refused(scratch_write("y", zeros, sizeof zeros), "nothing but zeros");
	refused(scratch_write("y", "", 0), "is empty");
	refused(scratch_path("absent"), "no such file");
	refused(scratch, "is a folder");
}

static void writes_what_it_reads(void **state)
{
	(void)state;
	error e = { 0 };
	static float data[3 * 1000];
	for (int i = 0; i < 3000; i++) data[i] = (float)i;
	const char *path = scratch_path("out.safetensors");
	weights_writer *w = weights_writer_new(path, &e);
	assert_true(weights_writer_metadata(w, "prompt", "\"墨\"", &e));
	assert_true(weights_writer_declare(w, "x", F32, 2, (int64_t[]){ 3, 1000 }, &e));
	assert_true(weights_writer_declare(w, "scalar", I64, 0, NULL, &e));
	assert_true(weights_writer_declare(w, "none", U8, 1, (int64_t[]){ 0 }, &e));
	for (size_t at = 0; at < sizeof data; at += 1500)
		assert_true(weights_writer_append(w, (char *)data + at, 1500, &e));
	assert_true(weights_writer_append(w, &(int64_t){ 42 }, 8, &e));
	assert_int_equal(access(path, F_OK), -1);
	assert_true(weights_writer_finish(w, &e));
	weights *r = weights_open(path, &e);
	assert_non_null(r);
	assert_int_equal(weights_count(r), 3);
	const weight *x = weights_find(r, "x");
	assert_int_equal((uintptr_t)x->data % 8, 0);
	assert_memory_equal(x->data, data, sizeof data);
	assert_int_equal(*(const char *)weights_need(r, "scalar", &e)->data, 42);
	assert_string_equal(weights_metadata(r, "prompt"), "\"墨\"");
	weights_close(r);
	assert_int_equal(scratch_count(), 1);
}

static void writer_refuses_misuse(void **state)
{
	(void)state;
	error twice = { 0 }, less = { 0 }, more = { 0 }, bad = { 0 }, e = { 0 };
	const char *path = scratch_path("out.safetensors");
	weights_writer *w = weights_writer_new(path, &e);
	assert_true(weights_writer_declare(w, "x", F32, 1, (int64_t[]){ 3 }, &e));
	assert_false(weights_writer_declare(w, "x", F32, 1, (int64_t[]){ 3 }, &twice));
	assert_says(twice, "\"x\" is there twice");
	assert_false(weights_writer_declare(w, "y", F32, 1, (int64_t[]){ -3 }, &bad));
	assert_says(bad, "\"y\" has no shape or type");
	assert_false(weights_writer_append(w, "0123456789abc", 13, &more));
	assert_says(more, "more data than the declared 12");
	assert_true(weights_writer_append(w, "01234", 5, &e));
	assert_false(weights_writer_finish(w, &less));
	assert_says(less, "5 bytes of data of the declared 12");
	scratch_write("file", "x", 1);
	w = weights_writer_new(scratch_path("file/x"), &e);
	error folder = { 0 };
	assert_false(weights_writer_finish(w, &folder));
	assert_says(folder, "Not a directory");
	unlink(scratch_path("file"));
	weights_writer_abort(weights_writer_new(path, &e));
	assert_int_equal(scratch_count(), 0);
	assert_int_equal(e.status, OK);
}

static void write_one(const char *file, const char *name)
{
	error e = { 0 };
	weights_writer *w = weights_writer_new(scratch_path(file), &e);
	assert_true(weights_writer_declare(w, name, F32, 1, (int64_t[]){ 1 }, &e));
	assert_true(weights_writer_append(w, "abcd", 4, &e));
	assert_true(weights_writer_finish(w, &e));
}

static const char *write_index(const char *content)
{
	return scratch_write("model.safetensors.index.json", content, strlen(content));
}

static void reads_shards(void **state)
{
	(void)state;
	error e = { 0 };
	write_one("1.safetensors", "a");
	write_one("2.safetensors", "b");
	weights *w = weights_open(write_index("{\"metadata\":{\"total_size\":8},\"weight_map\":{\"a\":\"1.safetensors\","
	                                      "\"b\":\"2.safetensors\"}}"),
	    &e);
	assert_non_null(w);
	assert_int_equal(weights_count(w), 2);
	assert_memory_equal(weights_need(w, "b", &e)->data, "abcd", 4);
	weights_advise_unused(w, weights_find(w, "b")->data, 4);
	assert_memory_equal(weights_find(w, "b")->data, "abcd", 4);
	weights_close(w);
	refused(write_index("{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"2.safetensors\"}}"),
	    "\"c\" is not in 2.safetensors");
	error absent = { 0 };
	assert_null(weights_open(write_index("{\"weight_map\":{\"a\":\"3.safetensors\"}}"), &absent));
	assert_says(absent, "3.safetensors: no such file");
	refused(write_index("{\"weight_map\":{\"a\":\"../1.safetensors\"}}"), "is not in the folder of its index");
	refused(write_index("{\"weight_map\":{\"a\":7}}"), "no file is named for the tensor \"a\"");
	refused(write_index("{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}"), "is not a model");
	write_one("3.safetensors", "a");
	error twice = { 0 };
	assert_null(
	    weights_open(write_index("{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"3.safetensors\"}}"), &twice));
	assert_says(twice, "\"a\" is there twice");
}

static void reads_a_checkpoint(void **state)
{
	(void)state;
	error e = { 0 };
	weights *w = weights_open(GOLDEN_DIR "/sd1/model.safetensors", &e);
	assert_non_null(w);
	assert_true(weights_count(w) > 500);
	const weight *t = weights_need(w, "model.diffusion_model.time_embed.0.weight", &e);
	assert_non_null(t);
	assert_int_equal(t->ndims, 2);
	for (size_t i = 0; i < weights_count(w); i++) {
		const weight *at = weights_at(w, i);
		assert_ptr_equal(weights_find(w, at->name), at);
		assert_int_equal(at->bytes, weight_elements(at) * dtype_size(at->dtype));
	}
	weights_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(reads_a_small_file),
		IN_SCRATCH(refuses_a_type_only_when_used),
		IN_SCRATCH(refuses_damaged_headers),
		IN_SCRATCH(refuses_wrong_places),
		IN_SCRATCH(refuses_what_is_no_model),
		IN_SCRATCH(writes_what_it_reads),
		IN_SCRATCH(writer_refuses_misuse),
		IN_SCRATCH(reads_shards),
		cmocka_unit_test(reads_a_checkpoint),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
