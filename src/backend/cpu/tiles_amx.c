/* tiles_amx.c - a block of a product in the tiles of AMX, its way in and its way out. */
#include "backend/cpu/rounded_math.h"
#include "backend/cpu/tiles.h"
#include "backend/cpu/vector_math.h"
#include <immintrin.h>
#include <string.h>

enum { LANES = 16, ROW_BYTES = 64, TILE = 512 /* values of bf16 in a tile */ };

void tiles_begin(void)
{
	struct {
		uint8_t palette, start_row, reserved[14];
		uint16_t bytes[16];
		uint8_t rows[16];
	} layout = { .palette = 1 };
	for (int i = 0; i < 8; i++) layout.bytes[i] = ROW_BYTES, layout.rows[i] = LANES;
	__asm__ volatile("" ::"r"(&layout) : "memory"); /* GCC believes that only 8 bytes of it are read */
	_tile_loadconfig(&layout);
}

void tiles_end(void) { _tile_release(); }

void tiles_multiply(
    const uint16_t *left, size_t row, const size_t *offset, size_t steps, const uint16_t *panel, bool more, float *sums)
{
	const uint16_t *lower = left + LANES * row;
	row *= sizeof *left;
	__asm__ volatile("" ::: "memory"); /* GCC does not know that loading a tile reads memory */
	if (more) {
		_tile_loadd(0, sums, 2 * ROW_BYTES);
		_tile_loadd(1, sums + LANES, 2 * ROW_BYTES);
		_tile_loadd(2, sums + LANES * TILE_SIDE, 2 * ROW_BYTES);
		_tile_loadd(3, sums + LANES * TILE_SIDE + LANES, 2 * ROW_BYTES);
	} else {
		_tile_zero(0);
		_tile_zero(1);
		_tile_zero(2);
		_tile_zero(3);
	}
	for (size_t k = 0; k < steps; k++, panel += RIGHT_STEP) {
		_tile_loadd(6, panel, ROW_BYTES);
		_tile_loadd(4, left + offset[k], row);
		_tile_loadd(7, panel + TILE, ROW_BYTES);
		_tile_loadd(5, lower + offset[k], row);
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
	}
	_tile_stored(0, sums, 2 * ROW_BYTES);
	_tile_stored(1, sums + LANES, 2 * ROW_BYTES);
	_tile_stored(2, sums + LANES * TILE_SIDE, 2 * ROW_BYTES);
	_tile_stored(3, sums + LANES * TILE_SIDE + LANES, 2 * ROW_BYTES);
}

/* ── in ── */

static inline __mmask16 first_lanes(size_t n) { return (__mmask16)(n < LANES ? (1u << n) - 1 : 0xffff); }

/* Value k and the next of each column, side by side; of the last value alone where `both` is false. */
static __m512i pairs_of(const uint16_t *from, size_t k_step, __mmask16 columns, __m512i offsets, bool both)
{
	const __m512i zero = _mm512_setzero_si512();
	if (!both) {
		uint32_t pairs[LANES] = { 0 };
		int32_t offset[LANES];
		_mm512_storeu_si512(offset, offsets);
		for (int j = 0; j < LANES; j++)
			if (columns >> j & 1) pairs[j] = from[offset[j] / (int)sizeof *from];
		return _mm512_loadu_si512(pairs);
	}
	if (k_step == 1) return _mm512_mask_i32gather_epi32(zero, columns, offsets, from, 1);
	/* 32 bits each: value k and what lies behind it, value k+1 and what lies before it, so that both are in the weight
	 */
	__m512i low = _mm512_mask_i32gather_epi32(zero, columns, offsets, from, 1);
	__m512i high = _mm512_mask_i32gather_epi32(zero, columns, offsets, from + k_step - 1, 1);
	return _mm512_mask_blend_epi16(0xaaaaaaaa, low, high);
}

void tiles_pack(const uint16_t *from, size_t values, size_t k_step, size_t columns, size_t column_step, uint16_t *to)
{
	const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
	__m512i offsets = _mm512_mullo_epi32(lanes, _mm512_set1_epi32((int)(column_step * sizeof *from)));
	for (size_t tile = 0; tile < 2; tile++) {
		size_t there = columns > tile * LANES ? columns - tile * LANES : 0;
		const uint16_t *at = from + (there ? tile * LANES * column_step : 0);
		for (size_t k = 0; k < TILE_STEP; k += 2, to += 2 * LANES) {
			__m512i pairs = _mm512_setzero_si512();
			if (k < values && there)
				pairs = pairs_of(at + k * k_step, k_step, first_lanes(there), offsets, k + 1 < values);
			_mm512_storeu_si512(to, pairs);
		}
	}
}

void tiles_copy(const uint16_t *from, size_t count, size_t values, size_t step, uint16_t *to)
{
	size_t whole = values / TILE_STEP * TILE_STEP;
	__mmask32 rest = (__mmask32)((1u << (values - whole)) - 1);
	for (size_t i = 0; i < count; i++, from += values, to += step) {
		for (size_t k = 0; k < whole; k += TILE_STEP) _mm512_storeu_si512(to + k, _mm512_loadu_si512(from + k));
		if (rest) _mm512_storeu_si512(to + whole, _mm512_maskz_loadu_epi16(rest, from + whole));
	}
}

/* ── out ── */

#define EACH(f) \
	for (int i = 0; i < TILE_SIDE * TILE_SIDE; i++) x[i] = f(x[i])
static inline float relu(float x) { return x < 0 ? 0 : x; }
static inline float leaky_relu(float x) { return x < 0 ? 0.2f * x : x; }

bool tiles_activate(activation a) { return a <= SIGMOID; }

static void activate_all(activation a, float *x)
{
	switch (a) {
	case SILU: EACH(silu_f32); break;
	case GELU: EACH(gelu_f32); break;
	case GELU_TANH: EACH(gelu_tanh_f32); break;
	case GELU_QUICK: EACH(gelu_quick_f32); break;
	case RELU: EACH(relu); break;
	case LEAKY_RELU: EACH(leaky_relu); break;
	case TANH: EACH(tanh_f32); break;
	case SIGMOID: EACH(sigmoid_f32); break;
	default: break;
	}
}

typedef struct two {
	__m512 low, high;
} two; /* 32 columns of a row */

static inline two widened(__m512i bf16)
{
	__m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(bf16));
	__m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(bf16, 1));
	return (two){ _mm512_castsi512_ps(_mm512_slli_epi32(low, 16)), _mm512_castsi512_ps(_mm512_slli_epi32(high, 16)) };
}

static inline two load_two(const void *from, ptrdiff_t at, dtype type, __mmask32 there)
{
	if (type == BF16) return widened(_mm512_maskz_loadu_epi16(there, (const uint16_t *)from + at));
	const float *x = (const float *)from + at;
	return (two){ _mm512_maskz_loadu_ps((__mmask16)there, x),
		there >> LANES ? _mm512_maskz_loadu_ps((__mmask16)(there >> LANES), x + LANES) : _mm512_setzero_ps() };
}

static inline void store_two(void *to, ptrdiff_t at, dtype type, __mmask32 there, two x)
{
	if (type == BF16) {
		_mm512_mask_storeu_epi16((uint16_t *)to + at, there, (__m512i)_mm512_cvtne2ps_pbh(x.high, x.low));
		return;
	}
	_mm512_mask_storeu_ps((float *)to + at, (__mmask16)there, x.low);
	if (there >> LANES) _mm512_mask_storeu_ps((float *)to + at + LANES, (__mmask16)(there >> LANES), x.high);
}

void tiles_expect(const tiles_result *r, const ptrdiff_t *place, size_t column)
{
	size_t size = r->type == BF16 ? sizeof(uint16_t) : sizeof(float);
	for (int i = 0; i < TILE_SIDE; i++) {
		if (place[i] == NOWHERE) continue;
		size_t at = ((size_t)place[i] + column) * size;
		__builtin_prefetch((const char *)r->out + at, 1);
		if (size > sizeof(uint16_t)) __builtin_prefetch((const char *)r->out + at + ROW_BYTES, 1);
		if (!r->residual || r->residual == r->out) continue;
		__builtin_prefetch((const char *)r->residual + at);
		if (size > sizeof(uint16_t)) __builtin_prefetch((const char *)r->residual + at + ROW_BYTES);
	}
}

void tiles_write(const tiles_result *r, float *sums, const ptrdiff_t *place, size_t column, size_t columns)
{
	__mmask32 there = columns < TILE_SIDE ? (__mmask32)((1u << columns) - 1) : ~(__mmask32)0;
	two bias = { _mm512_setzero_ps(), _mm512_setzero_ps() };
	if (r->bias) bias = load_two(r->bias, (ptrdiff_t)column, F32, there);
	bool in_registers = r->activation == GELU_TANH && r->type == BF16;
	for (int pass = r->activation && !in_registers ? 0 : 1; pass < 2; pass++) {
		/* with another activation the sums are completed where they are, first, for all rows at once */
		bool last = pass == 1, complete = !last || !r->activation || in_registers;
		for (int i = 0; i < TILE_SIDE; i++) {
			if (place[i] == NOWHERE) continue;
			float *from = sums + i * TILE_SIDE;
			ptrdiff_t at = place[i] + (ptrdiff_t)column;
			two x = { _mm512_loadu_ps(from), _mm512_loadu_ps(from + LANES) };
			if (complete) x = (two){ _mm512_add_ps(x.low, bias.low), _mm512_add_ps(x.high, bias.high) };
			if (complete && r->residual) {
				two y = load_two(r->residual, at, r->type, there);
				x = (two){ _mm512_add_ps(x.low, y.low), _mm512_add_ps(x.high, y.high) };
			}
			if (in_registers) x = (two){ gelu_tanh_rounded(x.low), gelu_tanh_rounded(x.high) };
			if (last)
				store_two(r->out, at, r->type, there, x);
			else
				_mm512_storeu_ps(from, x.low), _mm512_storeu_ps(from + LANES, x.high);
		}
		if (!last) activate_all(r->activation, sums);
	}
}
