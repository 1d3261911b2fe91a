/* test_dtype.c - the small floats, over every value that they have: widened and narrowed back, and rounded to nearest
 * even halfway between two neighbours and just off it; and the quantised types beside the package gguf (golden/gguf).
 */
#include "scratch.h"
#include "io/weights.h"
#include "tensor/dtype.h"
#include <math.h>

static double wide(dtype d, unsigned bits)
{
	uint16_t b = (uint16_t)bits;
	uint8_t small = (uint8_t)bits;
	double x;
	convert(&x, F64, dtype_size(d) == 1 ? (const void *)&small : &b, d, 1);
	return x;
}

static unsigned narrow(dtype d, double x)
{
	uint16_t b = 0;
	float f = (float)x;
	convert(&b, d, &f, F32, 1);
	return b;
}

static void every_value_of(dtype d)
{
	unsigned half = dtype_size(d) == 1 ? 0x80 : 0x8000, last = narrow(d, (double)dtype_largest(d));
	assert_true(wide(d, last) == (double)dtype_largest(d));
	assert_int_equal(narrow(d, 0), 0);
	assert_int_equal(narrow(d, -0.0), half);
	for (unsigned b = 0; b <= last; b++) {
		double x = wide(d, b);
		assert_int_equal(narrow(d, x), b);
		assert_int_equal(narrow(d, -x), b | half);
		assert_true(wide(d, b | half) == -x);
		if (b == last) break;
		double next = wide(d, b + 1);
		float middle = (float)(x + (next - x) / 2);
		assert_true(x < next && (double)middle == x + (next - x) / 2);
		assert_int_equal(narrow(d, (double)middle), b + (b & 1));
		assert_int_equal(narrow(d, (double)nextafterf(middle, 0)), b);
		assert_int_equal(narrow(d, (double)nextafterf(middle, INFINITY)), b + 1);
	}
	float over = dtype_overflow(d);
	assert_int_equal(narrow(d, (double)nextafterf(over, 0)), last);
	assert_false(isfinite(wide(d, narrow(d, (double)over))));
	assert_true(isnan(wide(d, narrow(d, NAN))));
	double infinite = wide(d, narrow(d, -INFINITY));
	assert_true(d == F8_E4M3 ? isnan(infinite) : isinf(infinite) && infinite < 0);
}

static void every_value(void **state)
{
	(void)state;
	every_value_of(F16);
	every_value_of(BF16);
	every_value_of(F8_E4M3);
	every_value_of(F8_E5M2);
}

/* Values that the paper's tables give. */
static void known_bits(void **state)
{
	(void)state;
	assert_true(wide(F8_E4M3, 0x7e) == 448 && wide(F8_E4M3, 0x08) == 0.015625 && wide(F8_E4M3, 0x01) == 0.001953125);
	assert_true(wide(F8_E5M2, 0x7b) == 57344 && wide(F8_E5M2, 0x04) == 0x1p-14 && wide(F8_E5M2, 0x01) == 0x1p-16);
	assert_true(isnan(wide(F8_E4M3, 0x7f)) && isnan(wide(F8_E4M3, 0xff)) && isinf(wide(F8_E5M2, 0x7c)));
}

static bool same_or_nan(float a, float b) { return a == b || (isnan(a) && isnan(b)); }

/* The loops for whole checkpoints give what one element at a time gives. */
static void loops_agree(void **state)
{
	(void)state;
	enum { MOST = 65536 };
	static const dtype small[] = { F16, BF16, F8_E4M3, F8_E5M2 };
	static uint16_t from[MOST], bf16[MOST], f16[MOST];
	static float x[MOST];
	for (size_t k = 0; k < 4; k++) {
		unsigned count = dtype_size(small[k]) == 1 ? 256 : MOST;
		for (unsigned b = 0; b < count; b++)
			if (count == MOST)
				from[b] = (uint16_t)b;
			else
				((uint8_t *)from)[b] = (uint8_t)b;
		convert(x, F32, from, small[k], count);
		convert(bf16, BF16, from, small[k], count);
		convert(f16, F16, from, small[k], count);
		for (unsigned b = 0; b < count; b++) {
			float one = (float)wide(small[k], b);
			assert_true(same_or_nan(x[b], one));
			assert_true(same_or_nan(f32_from_bf16(bf16[b]), f32_from_bf16(bf16_from_f32(one))));
			assert_true(same_or_nan(f32_from_f16(f16[b]), f32_from_f16(f16_from_f32(one))));
		}
	}
}

/* ── blocks ── */

enum { ELEMENTS = 48 * 32, ROOM = 65536 };

static const weight *needed(const weights *w, dtype d, const char *what)
{
	char name[40];
	error e = { 0 };
	snprintf(name, sizeof name, "%s.%s", dtype_name(d), what);
	const weight *t = weights_need(w, name, &e);
	assert_non_null(t);
	return t;
}

static void widened(const weights *w, dtype d)
{
	static float all[ROOM], part[ROOM];
	static double doubles[ROOM];
	static uint16_t halves[ROOM];
	const weight *blocks = needed(w, d, "blocks"), *values = needed(w, d, "values");
	size_t n = weight_elements(values), block = dtype_block(d);
	assert_int_equal(dtype_bytes(d, n), blocks->bytes);
	convert(all, F32, blocks->data, d, n);
	assert_memory_equal(all, values->data, n * sizeof *all);
	convert(halves, BF16, blocks->data, d, n);
	convert(doubles, F64, blocks->data, d, n);
	for (size_t i = 0; i < n; i++) assert_true(halves[i] == bf16_from_f32(all[i]) && doubles[i] == (double)all[i]);
	for (size_t first = 0; first < n; first += block / 2 + 5) { /* from anywhere, to anywhere */
		size_t count = n - first < 3 * block + 1 ? n - first : 3 * block + 1;
		memset(part, -1, (count + 1) * sizeof *part);
		uint32_t behind;
		memcpy(&behind, part + count, sizeof behind);
		convert_from(part, F32, blocks->data, d, first, count);
		assert_memory_equal(part, all + first, count * sizeof *part);
		assert_memory_equal(part + count, &behind, sizeof behind);
	}
}

static void narrowed(const weights *w, dtype d)
{
	static uint8_t bytes[ROOM];
	static float values[ELEMENTS];
	const weight *blocks = needed(w, d, "narrowed"), *x = weights_find(w, "floats");
	assert_int_equal(weight_elements(x), ELEMENTS);
	convert(bytes, d, x->data, F32, ELEMENTS);
	assert_memory_equal(bytes, blocks->data, blocks->bytes);
	memset(bytes, 0, sizeof bytes);
	convert(bytes, d, x->data, F32, 40); /* the rest of the second block is zeros */
	convert(values, F32, bytes, d, 64);
	for (int i = 40; i < 64; i++) assert_true(fabsf(values[i]) < 0.01f);
	float over = dtype_overflow(d);
	for (int i = 0; i < 32; i++) values[i] = i == 9 ? -dtype_largest(d) : 0;
	convert(bytes, d, values, F32, 32);
	convert(values, F32, bytes, d, 32);
	assert_true(isfinite(values[9]));
	values[9] = -over; /* where the smallest is stored, that counts */
	convert(bytes, d, values, F32, 32);
	convert(values, F32, bytes, d, 32);
	assert_false(isfinite(values[9]));
	for (int i = 0; i < 32; i++) values[i] = i == 9 ? NAN : (float)i;
	convert(bytes, d, values, F32, 32);
	convert(values, F32, bytes, d, 32);
	assert_true(isnan(values[9]));
}

static void blocks(void **state)
{
	(void)state;
	error e = { 0 };
	weights *w = weights_open(GOLDEN_DIR "/gguf/quants.safetensors", &e);
	assert_non_null(w);
	for (dtype d = Q4_0; d <= Q6_K; d++) {
		widened(w, d);
		assert_true(dtype_is_float(d) && !dtype_size(d));
		if (dtype_is_narrowable(d)) narrowed(w, d);
	}
	assert_false(dtype_is_narrowable(Q4_K));
	assert_true(dtype_bytes(Q8_0, SIZE_MAX) == SIZE_MAX && dtype_bytes(F64, SIZE_MAX / 4) == SIZE_MAX);
	assert_int_equal(dtype_bytes(Q8_0, 33), 68);
	weights_close(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value),
		cmocka_unit_test(known_bits),
		cmocka_unit_test(loops_agree),
		cmocka_unit_test(blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
