/* params.h - the parameters of every kernel, as C that fills them and the kernels that read them see them. Pointers are
 * to device memory. T: the element type in the kernel's name (f32 or bf16). */
#ifndef SUMI_BACKEND_CUDA_PARAMS_H
#define SUMI_BACKEND_CUDA_PARAMS_H
#include <stddef.h>
#include <stdint.h>

enum { MAX_BLOCK = 256 }; /* threads of a block, at most */

/* ── elementwise.cu ── */

/* y[i] = a[i] ∘ b[j], over rows of d[3]: j is the sum of coordinate × step. packs: 16 bytes at a time, where the last
 * axis allows it; n and d[3], and step of the last axis but its 0, then count packs. */
typedef struct binary_params {
	void *y;
	const void *a, *b;
	size_t n;
	uint32_t d[4], step[4];
	int multiply, packs, same; /* same: b has a's shape */
} binary_params;

typedef struct unary_params { /* y = f(x), or dy·f'(x) where dy is there; affine: factor·x + shift */
	void *y;
	const void *x, *dy; /* of type T */
	size_t n;           /* packs of 16 bytes where `packs` */
	int activation, packs;
	float factor, shift;
} unary_params;

typedef struct geglu_params {
	void *y;
	const void *x, *dy; /* dy NULL: forward */
	size_t n;           /* rows × width */
	uint32_t width;     /* of the result of the forward pass; in packs where `packs` */
	int packs;
} geglu_params;

typedef struct cast_params {
	void *y;
	const void *x;
	size_t n;
	int from, to; /* enum element */
} cast_params;
enum element { ELEMENT_F32, ELEMENT_BF16, ELEMENT_F16 };

typedef struct fill_params { /* `value` is of 4 or 2 bytes, as the kernel's name says */
	void *y;
	size_t n;
	uint32_t value;
} fill_params;

typedef struct finish_params { /* y = act(x + bias + residual), all but the bias [rows, columns]; y may be x or residual
	                            */
	void *y;
	const void *x;
	const void *residual; /* NULL: none; of type T */
	const float *bias;    /* [columns], NULL: none */
	size_t n;             /* of y; packs of 16 bytes where `packs` */
	uint32_t columns;     /* in packs too */
	int activation, packs;
	int narrow; /* x is bf16, where T is f32 */
} finish_params;

/* ── move.cu ── */

/* to[Σ kᵢ·to_step[i]] = from[Σ kᵢ·from_step[i]] for all 0 ≤ kᵢ < d[i]; steps in elements of the kernel's unit */
typedef struct move_params {
	void *to;
	const void *from;
	size_t n; /* product of d */
	uint32_t d[4];
	size_t to_step[4], from_step[4];
} move_params;

typedef struct sum_params { /* y[o] = Σ over s of x: both walk mixed-radix numbers */
	void *y;
	const void *x;
	float *part;                           /* [chunks][outputs], where chunks > 1 */
	uint32_t outputs, sums, chunk, chunks; /* sums: values of one output; chunk: of one block */
	uint32_t out_d[4], sum_d[4];           /* extents, last fastest */
	size_t out_step[4], sum_step[4];       /* in x, elements */
	int columns;                           /* neighbouring outputs lie side by side in x */
} sum_params;

typedef struct resize_params { /* [N,H,W,C] → [N,h,w,C], nearest; or its gradient, from large to small */
	void *y;
	const void *x;
	uint32_t images, from_height, from_width, to_height, to_width, channels;
} resize_params;

typedef struct pool_params {
	void *y;
	const void *x, *dy; /* dy NULL: forward */
	uint32_t images, height, width, channels, pooled_height, pooled_width, window;
	int maximum;
} pool_params;

typedef struct columns_params { /* a convolution's picture, and its columns [images·result pixels, taps, channels] */
	void *columns;
	void *picture;
	uint32_t images, height, width, channels; /* channels in packs where `packs` */
	uint32_t result_height, result_width, kernel_height, kernel_width;
	int stride, top, left, packs;
} columns_params;

/* ── norm.cu ── */

typedef struct norm_params { /* values [items, pixels, channels]; a group is `channels / groups` neighbours */
	void *y;
	const void *x, *dy;
	const float *gamma, *beta; /* NULL: absent */
	const float *sums;         /* [items,4,channels], see GROUP_NORM_SUMS */
	float *out;                /* the result of what gives full precision */
	float *part;               /* [items][chunks][2][channels]: of each channel, over a chunk of pixels */
	float *stats;              /* [items][2][channels], of layer norms [rows][2]: see norm.cu */
	uint32_t items, pixels, channels, groups, chunk, chunks;
	int activation, packs;
	int narrow;    /* y of a forward pass is bf16, where x is f32 */
	int uncentred; /* a root-mean-square norm: the mean counts as 0, there is no beta */
	float epsilon;
} norm_params;

/* ── attention.cu, attention_mma.cu ── */

typedef struct attention_params { /* q [batch, queries, heads·width], k and v [batch, keys, heads·width] */
	const void *q, *k, *v, *d;    /* d: the gradient of o */
	const float *bias;            /* [biases, heads, queries, keys] added to the scores; NULL: none */
	void *o;                      /* NULL: not wanted */
	void *dq, *dk, *dv;
	float *log_sum, *share; /* [batch·heads][queries]: logarithm of Σ exp(score), and do·o; NULL: not wanted */
	uint32_t queries, keys, heads, width, biases;
	int causal, packs; /* packs: 16 bytes may be moved at once */
	float scale;
} attention_params;

/* ── update.cu ── */

typedef struct squares_params { /* *sum = *before + Σ x² */
	const float *x;
	const double *before; /* NULL: 0 */
	double *part, *sum;   /* part: one for each block of SQUARES_CHUNK elements */
	size_t n;
	uint32_t chunks;
} squares_params;
enum { SQUARES_CHUNK = 16384 };

typedef struct update_params { /* see ACCUMULATE, UPDATE_SGD and UPDATE_ADAMW in graph.h, CLIP_SCALE too */
	float *weight;
	const float *gradient, *scale;
	const double *numbers, *squares;
	float *first, *second; /* moments, or the momentum's buffer; NULL: none */
	size_t n;
} update_params;

enum { EIGHT_BIT_BLOCK = 256, EIGHT_BIT_VALUES = 256 }; /* as many threads */
typedef struct update_8bit_params {                     /* see UPDATE_ADAMW_8BIT */
	float *weight;
	const float *gradient, *scale;
	const double *numbers;
	uint8_t *average, *root; /* codes: indices of the values below */
	float *average_scale, *root_scale;
	size_t n;
	float with_sign[EIGHT_BIT_VALUES], without[EIGHT_BIT_VALUES];
} update_8bit_params;

/* ── adafactor.cu ── */

enum { ADAFACTOR_MEAN, ADAFACTOR_STRIDE, ADAFACTOR_FOUND };
typedef struct adafactor_params { /* see UPDATE_ADAFACTOR */
	float *weight;
	const float *gradient, *scale;
	const double *numbers;
	float *row, *column;  /* column NULL: row has n elements */
	double *found, *part; /* found: what is above; part: one for each block of SQUARES_CHUNK elements */
	size_t n, rows, columns;
	uint32_t chunks;
} adafactor_params;

/* ── embedding.cu ── */

typedef struct embedding_params {
	void *y;
	const void *table; /* or dy */
	const int32_t *ids;
	uint32_t count, height, width;
	int from, to; /* enum element */
} embedding_params;

typedef struct timestep_params {
	float *y;
	const float *t;
	uint32_t count, width;
	float max_period;
} timestep_params;

#endif
