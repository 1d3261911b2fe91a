/* attention.c - softmax(scale·q·kᵀ)·v for each head, a query at a time, and its gradient from recomputed scores: no
 * matrix of queries × keys is stored (for the gradient see Dao et al. 2022, arXiv:2205.14135, appendix B.2). */
#include "backend/reference/plain.h"
#include <math.h>

typedef struct attention_sizes {
	size_t batch, queries, keys, heads, width, stride; /* width of a head; stride: of a token */
	double scale;
	bool causal;
	const real *bias; /* [biases,heads,queries,keys]; NULL: none */
	size_t biases;    /* 1: for all of the batch */
} attention_sizes;

static attention_sizes sizes_of(const call *c)
{
	const int *q = c->x[0]->shape.d, *k = c->x[1]->shape.d;
	size_t heads = (size_t)c->y->a[0];
	bool biased = c->y->op == ATTENTION && c->y->inputs > 3;
	return (attention_sizes){ (size_t)q[0], (size_t)q[1], (size_t)k[1], heads, (size_t)q[2] / heads, (size_t)q[2],
		(double)c->y->f[0], c->y->a[1] != 0, biased ? c->in[3] : NULL, biased ? (size_t)c->x[3]->shape.d[0] : 1 };
}

/* Where a head of a token begins in [N,T,heads·width]. */
static size_t place(const attention_sizes *s, size_t tokens, size_t n, size_t token, size_t head)
{
	return (n * tokens + token) * s->stride + head * s->width;
}

/* Keys that query i sees: 0 … visible−1. */
static size_t visible(const attention_sizes *s, size_t i) { return s->causal && i + 1 < s->keys ? i + 1 : s->keys; }

static void accumulate(double *sum, double factor, const real *x, size_t n)
{
	for (size_t i = 0; i < n; i++) sum[i] += factor * (double)x[i];
}

/* What is added to the scores of a query; NULL: nothing. */
static const real *bias_of(const attention_sizes *s, size_t n, size_t head, size_t query)
{
	return s->bias ? s->bias + ((n % s->biases * s->heads + head) * s->queries + query) * s->keys : NULL;
}

/* Writes the probabilities of n keys and returns log Σ exp(score). */
static double softmax(const attention_sizes *s, const real *q, const real *k, const real *bias, size_t n, double *p)
{
	double most = -INFINITY, sum = 0;
	for (size_t j = 0; j < n; j++) {
		p[j] = s->scale * dot(q, k + j * s->stride, s->width) + (bias ? (double)bias[j] : 0);
		if (p[j] > most) most = p[j];
	}
	for (size_t j = 0; j < n; j++) sum += p[j] = exp(p[j] - most);
	for (size_t j = 0; j < n; j++) p[j] /= sum;
	return most + log(sum);
}

/* Doubles of a thread: probabilities of a query, and a result of a head. */
size_t attention_scratch(const call *c)
{
	attention_sizes s = sizes_of(c);
	return (size_t)c->threads * (s.keys + s.width) * sizeof(double);
}

static bool attention_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	attention_sizes s = sizes_of(c);
	const real *q = c->in[0], *k = c->in[1], *v = c->in[2];
	real *o = c->out;
	double *p = (double *)c->scratch + (size_t)worker * (s.keys + s.width), *sum = p + s.keys;
	for (size_t task = first; task < end; task++) {
		size_t i = task % s.queries, head = task / s.queries % s.heads, n = task / s.queries / s.heads;
		size_t at = place(&s, s.queries, n, i, head), keys = place(&s, s.keys, n, 0, head), seen = visible(&s, i);
		softmax(&s, q + at, k + keys, bias_of(&s, n, head, i), seen, p);
		for (size_t e = 0; e < s.width; e++) sum[e] = 0;
		for (size_t j = 0; j < seen; j++) accumulate(sum, p[j], v + keys + j * s.stride, s.width);
		for (size_t e = 0; e < s.width; e++) o[at + e] = (real)sum[e];
	}
	return true;
}

bool plain_attention(const call *c)
{
	attention_sizes s = sizes_of(c);
	return share(c, s.batch * s.heads * s.queries, s.keys * s.width, attention_part, c);
}

/* What the keys need of each query: log Σ exp(score), and D = Σj p·(do·v), the softmax's own share. D is summed here
 * rather than taken as do·o, for o may be rounded. */
typedef struct row {
	double log_sum, share;
} row;

static size_t rows_of(const attention_sizes *s) { return s->batch * s->heads * s->queries; }

size_t attention_grad_scratch(const call *c)
{
	attention_sizes s = sizes_of(c);
	return rows_of(&s) * sizeof(row) + (size_t)c->threads * (s.keys + 2 * s.width) * sizeof(double);
}

/* dq of a query, and its row. p: room for the keys, sum: for a head's width */
static row query_gradient(const call *c, const attention_sizes *s, size_t task, double *p, double *sum)
{
	const real *k = c->in[1], *v = c->in[2];
	size_t i = task % s->queries, head = task / s->queries % s->heads, n = task / s->queries / s->heads;
	size_t at = place(s, s->queries, n, i, head), keys = place(s, s->keys, n, 0, head), seen = visible(s, i);
	const real *q = (const real *)c->in[0] + at, *d = (const real *)c->in[4] + at;
	row r = { softmax(s, q, k + keys, NULL, seen, p), 0 };
	for (size_t j = 0; j < seen; j++) r.share += p[j] * dot(d, v + keys + j * s->stride, s->width);
	for (size_t e = 0; e < s->width; e++) sum[e] = 0;
	for (size_t j = 0; j < seen; j++) {
		size_t key = keys + j * s->stride;
		accumulate(sum, p[j] * (dot(d, v + key, s->width) - r.share) * s->scale, k + key, s->width);
	}
	for (size_t e = 0; e < s->width; e++) ((real *)c->out)[at + e] = (real)sum[e];
	return r;
}

/* dk and dv of a key. sum: room for two heads' widths */
static void key_gradient(const call *c, const attention_sizes *s, const row *rows, size_t task, double *sum)
{
	size_t j = task % s->keys, head = task / s->keys % s->heads, n = task / s->keys / s->heads;
	size_t at = place(s, s->keys, n, j, head), queries = place(s, s->queries, n, 0, head);
	const real *k = (const real *)c->in[1] + at, *v = (const real *)c->in[2] + at;
	real *dk = (real *)c->out + s->batch * s->queries * s->stride, *dv = dk + s->batch * s->keys * s->stride;
	double *key_sum = sum, *value_sum = sum + s->width;
	for (size_t e = 0; e < 2 * s->width; e++) sum[e] = 0;
	for (size_t i = 0; i < s->queries; i++) {
		if (j >= visible(s, i)) continue;
		const real *q = (const real *)c->in[0] + queries + i * s->stride;
		const real *d = (const real *)c->in[4] + queries + i * s->stride;
		row r = rows[(n * s->heads + head) * s->queries + i];
		double p = exp(s->scale * dot(q, k, s->width) - r.log_sum);
		accumulate(value_sum, p, d, s->width);
		accumulate(key_sum, p * (dot(d, v, s->width) - r.share) * s->scale, q, s->width);
	}
	for (size_t e = 0; e < s->width; e++) {
		dk[at + e] = (real)key_sum[e];
		dv[at + e] = (real)value_sum[e];
	}
}

static double *gradient_room(const call *c, const attention_sizes *s, int worker)
{
	return (double *)((row *)c->scratch + rows_of(s)) + (size_t)worker * (s->keys + 2 * s->width);
}

static bool query_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	attention_sizes s = sizes_of(c);
	double *p = gradient_room(c, &s, worker);
	for (size_t task = first; task < end; task++)
		((row *)c->scratch)[task] = query_gradient(c, &s, task, p, p + s.keys);
	return true;
}

static bool key_part(const void *context, size_t first, size_t end, int worker)
{
	const call *c = context;
	attention_sizes s = sizes_of(c);
	for (size_t task = first; task < end; task++) key_gradient(c, &s, c->scratch, task, gradient_room(c, &s, worker));
	return true;
}

bool plain_attention_grad(const call *c)
{
	attention_sizes s = sizes_of(c);
	return share(c, rows_of(&s), s.keys * s.width, query_part, c) &&
	       share(c, s.batch * s.heads * s.keys, s.queries * s.width, key_part, c);
}
