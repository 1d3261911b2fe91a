/* igemm_avx2.c - the micro-kernel: 6 × 16 sums in twelve AVX2 registers. */
#include "backend/cpu/igemm.h"
#include <immintrin.h>

/* The sums of one row, two registers wide. */
#define ROW(i)                                     \
	do {                                           \
		__m256 a = _mm256_broadcast_ss(p##i);      \
		s##i##0 = _mm256_fmadd_ps(a, b0, s##i##0); \
		s##i##1 = _mm256_fmadd_ps(a, b1, s##i##1); \
		p##i += a_step;                            \
	} while (0)
#define ROWS \
	ROW(0);  \
	ROW(1);  \
	ROW(2);  \
	ROW(3);  \
	ROW(4);  \
	ROW(5)
#define FOR_ROWS(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define ZERO(i) __m256 s##i##0 = _mm256_setzero_ps(), s##i##1 = _mm256_setzero_ps();
#define POINT(i) const float *p##i = list[n].a[i] + a_shift;
#define STORE(i) _mm256_storeu_ps(tile + 16 * i, s##i##0), _mm256_storeu_ps(tile + 16 * i + 8, s##i##1);

static void whole_tile(const segment *list, int count, ptrdiff_t a_shift, ptrdiff_t a_step, ptrdiff_t b_shift,
    ptrdiff_t b_step, float *tile)
{
	FOR_ROWS(ZERO)
	for (int n = 0; n < count; n++) {
		FOR_ROWS(POINT)
		const float *b = list[n].b + b_shift;
		for (int k = list[n].k; k > 0; k--, b += b_step) {
			__m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
			ROWS;
		}
	}
	FOR_ROWS(STORE)
}

static void edge_tile(const segment *list, int count, ptrdiff_t a_shift, ptrdiff_t a_step, ptrdiff_t b_shift,
    ptrdiff_t b_step, int columns, float *tile)
{
	int lanes[16];
	for (int i = 0; i < 16; i++) lanes[i] = i < columns ? -1 : 0;
	__m256i m0 = _mm256_loadu_si256((const __m256i *)lanes), m1 = _mm256_loadu_si256((const __m256i *)(lanes + 8));
	FOR_ROWS(ZERO)
	for (int n = 0; n < count; n++) {
		FOR_ROWS(POINT)
		const float *b = list[n].b + b_shift;
		for (int k = list[n].k; k > 0; k--, b += b_step) {
			__m256 b0 = _mm256_maskload_ps(b, m0), b1 = _mm256_maskload_ps(b + 8, m1);
			ROWS;
		}
	}
	FOR_ROWS(STORE)
}

void tile_avx2(const segment *list, int count, ptrdiff_t a_shift, ptrdiff_t a_step, ptrdiff_t b_shift, ptrdiff_t b_step,
    int columns, float *tile)
{
	if (columns >= TILE_COLUMNS)
		whole_tile(list, count, a_shift, a_step, b_shift, b_step, tile);
	else
		edge_tile(list, count, a_shift, a_step, b_shift, b_step, columns, tile);
}
