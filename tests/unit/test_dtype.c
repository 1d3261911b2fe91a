/* test_dtype.c - the small floats, over every value that they have: widened and narrowed back, and rounded to nearest
 * even halfway between two neighbours and just off it. */
#include "scratch.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value),
		cmocka_unit_test(known_bits),
		cmocka_unit_test(loops_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
