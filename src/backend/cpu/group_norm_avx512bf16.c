/* group_norm_avx512bf16.c - group norm, forward, to a result in bf16: read, computed and rounded in registers, with no
 * f32 copy in between. The sums are added in the order of group_norm_body.h, a lane's rows one after the other. */
#define CODE(name) rounded_##name
#define LABEL "vector bf16"
#include "backend/cpu/rounded_math.h"

#define OWN_LOOPS
#include "backend/cpu/group_norm_body.h"

enum { STRIP = 4 }; /* vectors of lanes whose sums are in registers */

/* Rows of so many lanes, the last of which may be shorter: n values from `at` on. */
typedef struct rows_of_lanes {
	const void *x;
	bool is_bf16;
	size_t at, n, lanes;
} rows_of_lanes;

static void add_strip(const rows_of_lanes *r, size_t first, const float *near, float *sum, float *squares)
{
	__m512 s[STRIP], q[STRIP], middle[STRIP];
	__mmask16 there[STRIP];
	for (int i = 0; i < STRIP; i++) {
		size_t lane = first + (size_t)i * VECTOR;
		there[i] = lanes_of(lane < r->lanes ? r->lanes - lane : 0);
		middle[i] = _mm512_maskz_loadu_ps(there[i], near + lane);
		s[i] = _mm512_maskz_loadu_ps(there[i], sum + lane);
		q[i] = _mm512_maskz_loadu_ps(there[i], squares + lane);
	}
	for (size_t row = 0; row < r->n; row += r->lanes)
#pragma GCC unroll 4
		for (int i = 0; i < STRIP; i++) {
			size_t lane = row + first + (size_t)i * VECTOR;
			__mmask16 k = there[i] & lanes_of(lane < r->n ? r->n - lane : 0);
			__m512 d = _mm512_maskz_sub_ps(k, load_as_f32(r->x, r->at + lane, r->is_bf16, k), middle[i]);
			s[i] = _mm512_add_ps(s[i], d);
			q[i] = _mm512_fmadd_ps(d, d, q[i]);
		}
	for (int i = 0; i < STRIP; i++) {
		size_t lane = first + (size_t)i * VECTOR;
		_mm512_mask_storeu_ps(sum + lane, there[i], s[i]);
		_mm512_mask_storeu_ps(squares + lane, there[i], q[i]);
	}
}

/* A block at a time, so that a row's strips find it in the first cache; the block after it is fetched meanwhile. */
static void add_part(const call *c, const geometry *g, part q, const float *near, float *sum, float *squares)
{
	size_t size = dtype_size(c->x[0]->dtype);
	FOR_BLOCKS(q, *g)
	{
		rows_of_lanes r = { c->in[0], c->x[0]->dtype == BF16, at, m, g->lanes };
		const char *next = (const char *)c->in[0] + (at + m) * size;
		for (size_t i = 0; i < (last - at - m < m ? last - at - m : m) * size; i += 64)
			_mm_prefetch(next + i, _MM_HINT_T0);
		for (size_t first = 0; first < g->lanes; first += STRIP * VECTOR) add_strip(&r, first, near, sum, squares);
	}
}

static inline void scale_values(const rows_of_lanes *r, const float *factor, const float *shift, bool silu, uint16_t *y)
{
	for (size_t row = 0; row < r->n; row += r->lanes) {
		size_t width = r->n - row < r->lanes ? r->n - row : r->lanes;
		for (size_t i = 0; i < width; i += VECTOR) {
			__mmask16 k = lanes_of(width - i);
			__m512 x = load_as_f32(r->x, r->at + row + i, r->is_bf16, k);
			x = _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(k, factor + i), _mm512_maskz_loadu_ps(k, shift + i));
			store_as_bf16(y + r->at + row + i, silu ? silu_rounded(x) : x, k);
		}
	}
}

static void scale_part(const call *c, const geometry *g, part q, const float *factor, const float *shift)
{
	rows_of_lanes r = { c->in[0], c->x[0]->dtype == BF16, q.at, q.length, g->lanes };
	if (c->y->a[1] == SILU)
		scale_values(&r, factor, shift, true, c->out);
	else
		scale_values(&r, factor, shift, false, c->out);
}

static bool fits_rounded(const call *c) { return c->y->dtype == BF16 && fits(c); }

const kernel rounded_group_norm = { GROUP_NORM, LABEL, fits_rounded, NULL, scratch_bytes, NULL, NULL, run_group_norm,
	NULL };
