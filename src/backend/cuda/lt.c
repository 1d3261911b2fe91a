/* lt.c - matrix products by cuBLASLt. It reads matrices column by column: our D = A·B, row by row, is its Dᵀ = Bᵀ·Aᵀ,
 * so that its first factor is our second. */
#include "backend/cuda/lt.h"
#include <stdlib.h>

enum { MOST_WORKSPACE = 32 << 20, ALIGNMENT = 16 };

typedef struct lt_plan {
	product product;
	void *desc, *a, *b, *d; /* a, b: the library's factors */
	lt_heuristic algorithm;
	bool any_alignment; /* the algorithm was chosen again, for addresses of any alignment */
} lt_plan;

struct lt { /* of one GPU, alive until the program ends */
	void *handle;
	const cuda_stream *stream;
};

static const lt_functions *lt(void) { return cuda_libraries_find()->lt; }

static bool lt_ok(int code, error *e, const char *what)
{
	return !code || fail(e, code == LT_ALLOCATION_FAILED ? NO_MEMORY : DEVICE_FAILED,
	                    "cuBLASLt: %s failed with status %d", what, code);
}

static void lt_product_free(void *plan)
{
	lt_plan *p = plan;
	if (!p) return;
	if (p->desc) lt()->desc_destroy(p->desc);
	if (p->a) lt()->layout_destroy(p->a);
	if (p->b) lt()->layout_destroy(p->b);
	if (p->d) lt()->layout_destroy(p->d);
	free(p);
}

static int type_of(dtype d) { return d == F32 ? LT_F32 : LT_BF16; }

static bool describe(lt_plan *p, error *e)
{
	const product *q = &p->product;
	int transposed = 1, straight = 0;
	static const int epilogues[2][2] = { { LT_EPILOGUE_DEFAULT, LT_EPILOGUE_BIAS }, /* [gelu][bias] */
		{ LT_EPILOGUE_GELU_TANH, LT_EPILOGUE_GELU_TANH_BIAS } };
	if (!lt_ok(lt()->desc_create(&p->desc, LT_COMPUTE_F32, LT_F32), e, "a description")) return false;
	int code = lt()->desc_set(p->desc, LT_TRANSPOSE_A, q->tb ? &transposed : &straight, sizeof transposed);
	if (!code) code = lt()->desc_set(p->desc, LT_TRANSPOSE_B, q->ta ? &transposed : &straight, sizeof transposed);
	if (!code) code = lt()->desc_set(p->desc, LT_EPILOGUE, &epilogues[q->gelu][q->bias], sizeof(int));
	/* As it stores them: columns of length m, k or n that are as far apart as they are long. */
	size_t m = q->m, n = q->n, k = q->k;
	if (!code)
		code = lt()->layout_create(&p->a, type_of(q->in), q->tb ? k : n, q->tb ? n : k, (int64_t)(q->tb ? k : n));
	if (!code)
		code = lt()->layout_create(&p->b, type_of(q->in), q->ta ? m : k, q->ta ? k : m, (int64_t)(q->ta ? m : k));
	if (!code) code = lt()->layout_create(&p->d, type_of(q->out), n, m, (int64_t)n);
	return lt_ok(code, e, "describing a product");
}

enum { CHOICES = 8 };

/* Those that the library says would run move to the front, in their order. */
static int sound_of(lt_heuristic *found, int count)
{
	int sound = 0;
	for (int i = 0; i < count; i++)
		if (!found[i].state) found[sound++] = found[i];
	return sound;
}

/* The library's choices for these shapes, best first; 0: none. `alignment` of all addresses, bytes. */
static int choose(gpu *g, const lt_plan *p, size_t workspace, uint32_t alignment, lt_heuristic found[CHOICES])
{
	void *preference = NULL;
	int count = 0, code = lt()->preference_create(&preference);
	uint64_t most = workspace;
	uint32_t reductions = LT_REDUCE_IN_COMPUTE_TYPE; /* not in the result's type, which may be bf16 */
	if (!code) code = lt()->preference_set(preference, LT_WORKSPACE_BYTES, &most, sizeof most);
	if (!code) code = lt()->preference_set(preference, LT_REDUCTIONS, &reductions, sizeof reductions);
	for (int i = 0; i < 4 && !code; i++)
		code = lt()->preference_set(preference, LT_ALIGNMENT_A + i, &alignment, sizeof alignment);
	if (!code)
		code = lt()->heuristic(g->lt->handle, p->desc, p->a, p->b, p->d, p->d, preference, CHOICES, found, &count);
	if (preference) lt()->preference_destroy(preference);
	return code ? 0 : sound_of(found, count);
}

static void *make_plan(gpu *g, const product *q, size_t *workspace, error *e)
{
	lt_plan *p = calloc(1, sizeof *p);
	if (!p) {
		fail(e, NO_MEMORY, "out of memory");
		return NULL;
	}
	p->product = *q;
	lt_heuristic found[CHOICES];
	if (!describe(p, e) || !choose(g, p, MOST_WORKSPACE, ALIGNMENT, found)) {
		fail(e, DEVICE_FAILED, "cuBLASLt has no product of %zu×%zu and %zu×%zu", q->m, q->k, q->k, q->n);
		lt_product_free(p);
		return NULL;
	}
	p->algorithm = found[0];
	*workspace = p->algorithm.workspace;
	return p;
}

static void *lt_product_new(gpu *g, const product *q, size_t *workspace, error *e)
{
	g->enter(g);
	void *plan = make_plan(g, q, workspace, e);
	g->leave(g);
	return plan;
}

typedef struct operands {
	const void *a, *b, *residual;
	void *d, *workspace;
} operands;

static int multiply(gpu *g, const lt_plan *p, const lt_heuristic *how, const operands *o)
{
	const float one = 1, zero = 0;
	return lt()->matmul(g->lt->handle, p->desc, &one, o->b, p->a, o->a, p->b, o->residual ? &one : &zero,
	    o->residual ? o->residual : o->d, p->d, o->d, p->d, how->algorithm, o->workspace, how->workspace,
	    g->lt->stream->stream);
}

/* Another choice, for addresses of any alignment: kept where it works, so that every later run uses it. */
static int choose_again(gpu *g, lt_plan *p, const operands *o)
{
	lt_heuristic found[CHOICES];
	int count = choose(g, p, p->algorithm.workspace, (uint32_t)dtype_size(p->product.in), found), code = 1;
	for (int i = 0; i < count && code; i++) {
		code = multiply(g, p, &found[i], o);
		if (!code) p->algorithm = found[i];
	}
	return code;
}

static bool lt_product_run(gpu *g, void *plan, const void *a, const void *b, const void *bias, const void *residual,
    void *d, void *workspace, error *e)
{
	lt_plan *p = plan;
	const operands o = { a, b, residual, d, workspace };
	if (bias && !lt_ok(lt()->desc_set(p->desc, LT_BIAS_POINTER, &bias, sizeof bias), e, "a bias")) return false;
	g->enter(g); /* not into what another thread records */
	bool aligned = p->any_alignment || (aligned_16(a) && aligned_16(b) && aligned_16(d) && aligned_16(residual));
	int code = aligned ? multiply(g, p, &p->algorithm, &o) : 1;
	if (code) {
		code = choose_again(g, p, &o);
		p->any_alignment = !code;
	}
	g->leave(g);
	const product *q = &p->product;
	return !code || fail(e, DEVICE_FAILED, "cuBLASLt: the product of %zu×%zu and %zu×%zu failed with status %d", q->m,
	                    q->k, q->k, q->n, code);
}

bool lt_attach(gpu *g, const cuda_stream *stream, error *e)
{
	if (!lt()) return true;
	struct lt *made = calloc(1, sizeof *made);
	if (!made) return fail(e, NO_MEMORY, "out of memory");
	made->stream = stream;
	g->lt = made;
	if (!lt_ok(lt()->create(&made->handle), e, "starting it")) return false;
	g->product_new = lt_product_new;
	g->product_run = lt_product_run;
	g->product_free = lt_product_free;
	return true;
}
