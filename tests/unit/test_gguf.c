/* test_gguf.c - reading, writing and refusing GGUF files: one of the package gguf (golden/gguf), headers made here, and
 * what we write ourselves. */
#include "reading.h"
#include "base/buffer.h"
#include <math.h>

/* ── headers ── */

static buffer made;

static void begin(uint32_t version, uint64_t tensors, uint64_t values)
{
	free(made.data);
	made = (buffer){ 0 };
	buffer_add_text(&made, "GGUF");
	buffer_add(&made, &version, 4);
	buffer_add(&made, &tensors, version == 1 ? 4 : 8);
	buffer_add(&made, &values, version == 1 ? 4 : 8);
}

static void number(uint64_t n, size_t bytes) { buffer_add(&made, &n, bytes); }

static void text(const char *s)
{
	number(strlen(s), 8);
	buffer_add_text(&made, s);
}

static void value(const char *key, uint32_t type, uint64_t n, size_t bytes)
{
	text(key);
	number(type, 4);
	number(n, bytes);
}

static void tensor(const char *name, int ndims, const uint64_t *axes, uint32_t type, uint64_t offset)
{
	text(name);
	number((uint64_t)ndims, 4);
	for (int i = 0; i < ndims; i++) number(axes[i], 8);
	number(type, 4);
	number(offset, 8);
}

/* The data begin at the alignment. */
static const char *data(size_t alignment, size_t bytes)
{
	while (made.size % alignment) buffer_add(&made, "", 1);
	for (size_t i = 0; i < bytes; i++) buffer_add(&made, "x", 1);
	return scratch_write("x.gguf", made.data, made.size);
}

enum { F32_NUMBER = 0, Q8_0_NUMBER = 8, IQ4_XS_NUMBER = 23, BYTE = 0, U16 = 2, U32 = 4, STRING = 8, ARRAY = 9 };
static const uint64_t ten[] = { 10 }, row[] = { 64, 3 };

static void reads_what_is_right(void **state)
{
	(void)state;
	error e = { 0 };
	begin(3, 2, 2);
	value("general.alignment", U32, 8, 4);
	text("general.name"), number(STRING, 4), text("n");
	tensor("b", 2, row, Q8_0_NUMBER, 40);
	tensor("a", 1, ten, F32_NUMBER, 0);
	weights *w = weights_open(data(8, 40 + 204), &e);
	if (!w) fail_saying("%s\n", e.text);
	const weight *b = weights_find(w, "b");
	assert_string_equal(weights_at(w, 0)->name, "a"); /* as the data lie */
	assert_true(b->dtype == Q8_0 && b->ndims == 2 && b->shape[0] == 3 && b->shape[1] == 64 && b->bytes == 204);
	assert_string_equal(b->type_name, "Q8_0");
	assert_string_equal(weights_metadata(w, "general.name"), "n");
	weights_close(w);
	begin(1, 0, 0);
	assert_non_null(w = weights_open(data(32, 0), &e));
	assert_int_equal(weights_count(w), 0);
	weights_close(w);
}

static void refuses_headers(void **state)
{
	(void)state;
	refused(scratch_write("x.gguf", "GGUF", 4), "is cut short");
	begin(4, 0, 0), refused(data(1, 0), "GGUF of version 4");
	begin(0x03000000, 0, 0), refused(data(1, 0), "the other byte order");
	begin(3, UINT64_MAX, 0), refused(data(1, 100), "at byte");
	begin(3, 0, UINT64_MAX), refused(data(1, 0), "is cut short");
	begin(3, 0, 1), value("general.alignment", U32, 24, 4), refused(data(1, 0), "an alignment of 24");
	begin(3, 0, 1), value("general.alignment", U32, 0, 4), refused(data(1, 0), "an alignment of 0");
	begin(3, 0, 1), value("k", 13, 0, 8), refused(data(1, 0), "metadata of type 13");
	begin(3, 0, 1), value("k", STRING, UINT64_MAX - 3, 8), refused(data(1, 9), "is cut short");
	begin(3, 0, 2), value("k", BYTE, 0, 1), value("k", BYTE, 0, 1), refused(data(1, 0), "\"k\" are there twice");
	begin(3, 0, 1), value("split.count", U16, 3, 2), refused(data(1, 0), "one of the 3 parts");
	begin(3, 0, 1), text("k"), number(ARRAY, 4), number(U32, 4), number(UINT64_MAX / 2, 8);
	refused(data(1, 9), "is cut short");
	begin(3, 0, 1), text("k"), number(ARRAY, 4);
	for (int i = 0; i < 9; i++) number(ARRAY, 4), number(1, 8);
	refused(data(1, 90), "arrays of arrays");
	begin(3, 0, 1), number(0, 8), refused(data(1, 90), "the name of a value");
}

static void refuses_tensors(void **state)
{
	(void)state;
	static const uint64_t odd[] = { 33, 2 }, huge[] = { UINT64_MAX / 8, 64 }, negative[] = { UINT64_MAX };
	static const uint64_t many[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, big[] = { 1ull << 40, 1ull << 40 };
	begin(3, 1, 0), tensor("a", 1, ten, F32_NUMBER, 0), refused(data(32, 39), "is cut short: the tensor \"a\"");
	begin(3, 1, 0), tensor("a", 1, ten, F32_NUMBER, 64), refused(data(32, 40), "is cut short");
	begin(3, 1, 0), tensor("a", 1, ten, F32_NUMBER, UINT64_MAX - 31), refused(data(32, 40), "is cut short");
	begin(3, 1, 0), tensor("a", 1, ten, F32_NUMBER, 8), refused(data(32, 80), "no multiple of the alignment, 32");
	begin(3, 1, 0), tensor("a", 2, odd, Q8_0_NUMBER, 0),
	    refused(data(32, 80), "rows of 33 elements in the tensor \"a\"");
	begin(3, 1, 0), tensor("a", 1, ten, IQ4_XS_NUMBER, 0), refused(data(32, 80), "of type IQ4_XS (23)");
	begin(3, 1, 0), tensor("a", 1, ten, 99, 0), refused(data(32, 80), "of type unknown (99)");
	begin(3, 1, 0), tensor("a", 9, many, F32_NUMBER, 0), refused(data(32, 80), "9 dimensions");
	begin(3, 1, 0), tensor("a", 1, negative, F32_NUMBER, 0), refused(data(32, 80), "dimension 0");
	begin(3, 1, 0), tensor("a", 2, huge, F32_NUMBER, 0), refused(data(32, 80), "no number of bytes");
	begin(3, 1, 0), tensor("a", 2, big, Q8_0_NUMBER, 0), refused(data(32, 80), "no number of bytes");
	begin(3, 2, 0), tensor("a", 1, ten, F32_NUMBER, 0), tensor("b", 1, ten, F32_NUMBER, 32);
	refused(data(32, 120), "the tensors \"a\" and \"b\" overlap");
	begin(3, 2, 0), tensor("a", 1, ten, F32_NUMBER, 0), tensor("a", 1, ten, F32_NUMBER, 64);
	refused(data(32, 120), "\"a\" is there twice");
	for (int k = 0; k < 2; k++) { /* axes of another number of elements; no axes */
		begin(3, 1, 1), text("comfy.gguf.orig_shape.a"), number(ARRAY, 4), number(k ? U32 : 5, 4), number(2, 8);
		number(5, 4), number(3, 4), tensor("a", 1, ten, F32_NUMBER, 0);
		refused(data(32, 40), k ? "are not the axes of a tensor" : "are not axes of as many elements");
	}
}

/* ── the package's ── */

static void reads_the_packages(void **state)
{
	(void)state;
	static float values[4096];
	error e = { 0 };
	weights *w = weights_open(GOLDEN_DIR "/gguf/foreign.gguf", &e);
	weights *all = weights_open(GOLDEN_DIR "/gguf/foreign.safetensors", &e);
	if (!w || !all) fail_saying("%s\n", e.text);
	assert_int_equal(weights_count(w), weights_count(all));
	assert_string_equal(weights_metadata(w, "general.architecture"), "t5encoder");
	assert_string_equal(weights_metadata(w, "general.name"), "foreign, “quoted”");
	assert_null(weights_metadata(w, "test.u8"));
	for (size_t i = 0; i < weights_count(all); i++) {
		const weight *x = weights_at(all, i), *y = weights_need(w, x->name, &e);
		if (!y) fail_saying("%s\n", e.text);
		assert_int_equal(x->ndims, y->ndims);
		assert_memory_equal(x->shape, y->shape, (size_t)x->ndims * sizeof *x->shape);
		convert(values, F32, y->data, y->dtype, weight_elements(y));
		assert_memory_equal(values, x->data, x->bytes);
		assert_int_equal(y->bytes, dtype_bytes(y->dtype, weight_elements(y)));
	}
	weights_close(w);
	weights_close(all);
}

/* ── our own ── */

static void writes_what_it_reads(void **state)
{
	(void)state;
	error e = { 0 };
	static const int64_t axes[] = { 2, 3, 64 }, one[] = { 5 };
	static const dtype types[] = { F32, F16, BF16, F64, I64, I32, I16, I8, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 };
	enum { TYPES = sizeof types / sizeof *types };
	static uint8_t bytes[4096];
	char path[160];
	strcpy(path, scratch_path("out.gguf"));
	for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37);
	weights_writer *out = weights_writer_new(path, &e);
	assert_true(weights_writer_metadata(out, "sumi.config", "{\"a\":1}", &e));
	for (int i = 0; i < TYPES; i++) {
		assert_true(weights_writer_declare(out, dtype_name(types[i]), types[i], 3, axes, &e));
		char name[20];
		snprintf(name, sizeof name, "%s.small", dtype_name(types[i]));
		if (dtype_size(types[i])) assert_true(weights_writer_declare(out, name, types[i], 1, one, &e));
	}
	assert_true(weights_writer_declare(out, "scalar", F32, 0, NULL, &e));
	for (int i = 0; i < TYPES; i++) {
		size_t n = dtype_bytes(types[i], 384);
		assert_true(weights_writer_append(out, bytes, 7, &e) && weights_writer_append(out, bytes + 7, n - 7, &e));
		if (dtype_size(types[i])) assert_true(weights_writer_append(out, bytes, 5 * dtype_size(types[i]), &e));
	}
	assert_true(weights_writer_append(out, bytes, 4, &e));
	if (!weights_writer_finish(out, &e)) fail_saying("%s\n", e.text);
	weights *w = weights_open(path, &e);
	if (!w) fail_saying("%s\n", e.text);
	assert_string_equal(weights_metadata(w, "sumi.config"), "{\"a\":1}");
	for (size_t i = 0; i < weights_count(w); i++) {
		const weight *t = weights_at(w, i);
		assert_true((uintptr_t)t->data % 32 == 0);
		assert_memory_equal(t->data, bytes, t->bytes);
		if (strstr(t->name, "small") || !strcmp(t->name, "scalar")) continue;
		assert_memory_equal(t->shape, axes, sizeof axes);
	}
	weights_close(w);
}

static void refuses_to_write(void **state)
{
	(void)state;
	static const int64_t odd[] = { 32, 33 }, five[] = { 1, 1, 1, 1, 32 }, fine[] = { 4, 32 };
	char name[140];
	memset(name, 'n', sizeof name);
	name[128] = 0;
	const struct {
		const char *path, *name;
		dtype type;
		int ndims;
		const int64_t *axes;
		const char *words;
	} cases[] = {
		{ "o.gguf", "t", Q8_0, 2, odd, "rows of 33 elements" },
		{ "o.gguf", "t", F32, 5, five, "has 5 dimensions" },
		{ "o.gguf", "t", F8_E4M3, 2, fine, "is of type F8_E4M3, which GGUF does not have" },
		{ "o.gguf", name, F32, 2, fine, "longer than the 127 bytes" },
		{ "o.safetensors", "t", Q8_0, 2, fine, "is of type Q8_0, which only GGUF has" },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		error e = { 0 };
		weights_writer *out = weights_writer_new(scratch_path(cases[i].path), &e);
		assert_false(weights_writer_declare(out, cases[i].name, cases[i].type, cases[i].ndims, cases[i].axes, &e));
		assert_int_equal(e.status, BAD_USAGE);
		assert_says(e, cases[i].words);
		weights_writer_abort(out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_right),
		cmocka_unit_test(refuses_headers),
		cmocka_unit_test(refuses_tensors),
		cmocka_unit_test(reads_the_packages),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(refuses_to_write),
	};
	int failures = cmocka_run_group_tests(tests, scratch_make, scratch_remove);
	free(made.data);
	return failures;
}
