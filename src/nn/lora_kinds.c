/* lora_kinds.c - the kinds of adapters, a row each: which parts must be there and fit, and the nodes that change the
 * weight. All formulas are those of LyCORIS (arXiv 2309.14859; KohakuBlueleaf/LyCORIS, lycoris/functional), which A1111
 * and ComfyUI follow where they know the kind. */
#include "nn/lora_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LARGEST_BLOCK = 4096 };

typedef struct merging { /* what the functions below build with */
	graph *g;
	const adapter *a;
	float strength;
	const char *name;
	int set, index;
} merging;

struct lora_kind {
	bool (*fits)(const adapter *a);
	/* `factor` times what is added to W [rows,in·area]; w is W with the three axes [rows,in,area]. */
	tensor (*difference)(const merging *m, tensor w, float factor);
	/* Or, where the strength does not scale a sum: the whole W, changed. */
	tensor (*changed)(const merging *m, tensor w);
};

const char *lora_part_name(lora_part p)
{
	static const char *const names[LORA_PARTS] = { [ALPHA] = "alpha",
		[DOWN] = "down",
		[UP] = "up",
		[MID] = "mid",
		[DORA_SCALE] = "dora_scale",
		[MAGNITUDE] = "magnitude",
		[HADA_W1_A] = "hada_w1_a",
		[HADA_W1_B] = "hada_w1_b",
		[HADA_W2_A] = "hada_w2_a",
		[HADA_W2_B] = "hada_w2_b",
		[HADA_T1] = "hada_t1",
		[HADA_T2] = "hada_t2",
		[LOKR_W1] = "lokr_w1",
		[LOKR_W1_A] = "lokr_w1_a",
		[LOKR_W1_B] = "lokr_w1_b",
		[LOKR_W2] = "lokr_w2",
		[LOKR_W2_A] = "lokr_w2_a",
		[LOKR_W2_B] = "lokr_w2_b",
		[LOKR_T2] = "lokr_t2",
		[GLORA_A1] = "a1",
		[GLORA_A2] = "a2",
		[GLORA_B1] = "b1",
		[GLORA_B2] = "b2",
		[IA3_WEIGHT] = "ia3",
		[ON_INPUT] = "on_input",
		[OFT_BLOCKS] = "oft_blocks",
		[RESCALE] = "rescale",
		[DIFF] = "diff",
		[DIFF_BIAS] = "diff_b",
		[ROTATION] = "rotation" };
	return names[p];
}

/* ── parts ── */

static bool has(const adapter *a, lora_part p) { return a->part[p].data != NULL; }
static size_t count_of(const adapter *a, lora_part p) { return shape_count(a->part[p].shape); }
static int axis(const adapter *a, lora_part p, int i) { return i < a->part[p].shape.n ? a->part[p].shape.d[i] : 1; }

/* [rows,columns] with elements, whatever unit axes follow or how `columns` is spread over axes. */
static bool is_matrix(const adapter *a, lora_part p, int rows, size_t columns)
{
	return has(a, p) && a->part[p].shape.n >= 2 && rows > 0 && columns > 0 && axis(a, p, 0) == rows &&
	       count_of(a, p) == (size_t)rows * columns;
}

static size_t columns_of(const adapter *a, int in) { return (size_t)in * (size_t)a->area; }

/* [one,two,height,width] of the weight's area */
static bool is_core(const adapter *a, lora_part p, int one, int two)
{
	return is_matrix(a, p, one, columns_of(a, two)) && axis(a, p, 1) == two;
}

static tensor part_as(const merging *m, lora_part p, shape s)
{
	char whole[256];
	snprintf(whole, sizeof whole, "%s.lora.%d.%d.%s", m->name, m->set, m->index, lora_part_name(p));
	return cast(m->g, param(m->g, whole, s), REAL);
}

/* As a matrix: the first axis, and all others. */
static tensor part_of(const merging *m, lora_part p)
{
	int rows = axis(m->a, p, 0);
	return part_as(m, p, shape2(rows, (int)(count_of(m->a, p) / (size_t)rows)));
}

static tensor product(const merging *m, tensor a, tensor b) { return matmul(m->g, a, b, false, false, REAL); }

/* Σ left(o,r)·core(r,s,k)·right(s,i) → [o,i·k]; left is [r,o] where `across`. */
static tensor tucker(const merging *m, lora_part core, tensor left, bool across, tensor right)
{
	graph *g = m->g;
	int r = axis(m->a, core, 0), s = axis(m->a, core, 1), area = m->a->area, in = dim(g, right, 1);
	tensor t = permute(g, part_as(m, core, shape3(r, s, area)), 0, 2, 1, 0);
	t = product(m, reshape(g, t, shape2(r * area, s)), right);
	t = permute(g, reshape(g, t, shape3(r, area, in)), 0, 2, 1, 0);
	return matmul(g, left, reshape(g, t, shape2(r, in * area)), across, false, REAL);
}

/* ── LoRA: up·down, with a core between them for convolutions (LoCon's Tucker form) ── */

static bool lora_fits(const adapter *a)
{
	int rank = axis(a, DOWN, 0);
	if (!has(a, DOWN) || !has(a, UP)) return false;
	if (!has(a, MID)) return is_matrix(a, UP, a->rows, rank) && is_matrix(a, DOWN, rank, columns_of(a, a->in));
	return is_matrix(a, UP, a->rows, axis(a, MID, 0)) && is_matrix(a, DOWN, rank, a->in) &&
	       is_core(a, MID, axis(a, MID, 0), rank);
}

static tensor lora_difference(const merging *m, tensor w, float factor)
{
	(void)w;
	tensor up = part_of(m, UP), down = part_of(m, DOWN);
	return affine(m->g, has(m->a, MID) ? tucker(m, MID, up, false, down) : product(m, up, down), factor, 0);
}

/* ── LoHa: two of them, multiplied element by element ── */

static bool half_fits(const adapter *a, lora_part left, lora_part right, lora_part core)
{
	int rank = axis(a, right, 0);
	if (!has(a, left) || !has(a, right)) return false;
	if (!has(a, core)) return is_matrix(a, left, a->rows, rank) && is_matrix(a, right, rank, columns_of(a, a->in));
	return is_matrix(a, left, axis(a, core, 0), a->rows) && is_matrix(a, right, rank, a->in) &&
	       is_core(a, core, axis(a, core, 0), rank);
}

static bool loha_fits(const adapter *a)
{
	return half_fits(a, HADA_W1_A, HADA_W1_B, HADA_T1) && half_fits(a, HADA_W2_A, HADA_W2_B, HADA_T2);
}

static tensor half(const merging *m, lora_part left, lora_part right, lora_part core)
{
	tensor a = part_of(m, left), b = part_of(m, right);
	return has(m->a, core) ? tucker(m, core, a, true, b) : product(m, a, b);
}

static tensor loha_difference(const merging *m, tensor w, float factor)
{
	(void)w;
	tensor a = half(m, HADA_W1_A, HADA_W1_B, HADA_T1), b = half(m, HADA_W2_A, HADA_W2_B, HADA_T2);
	return affine(m->g, mul(m->g, a, b), factor, 0);
}

/* ── LoKr: the Kronecker product of w1 [a,b] and w2 [c,d,area], either of them whole or of low rank ── */

typedef struct lokr_sizes {
	int a, b, c, d;
} lokr_sizes;

/* Zeros where the parts do not go together. */
static lokr_sizes lokr_sizes_of(const adapter *x)
{
	lokr_sizes s = { 0 };
	if (has(x, LOKR_W1) && x->part[LOKR_W1].shape.n >= 2) {
		s.a = axis(x, LOKR_W1, 0);
		s.b = axis(x, LOKR_W1, 1);
		if (!is_matrix(x, LOKR_W1, s.a, s.b)) s.a = 0;
	} else if (has(x, LOKR_W1_A) && has(x, LOKR_W1_B) && x->part[LOKR_W1_B].shape.n >= 2) {
		s.a = axis(x, LOKR_W1_A, 0);
		s.b = axis(x, LOKR_W1_B, 1);
		int rank = axis(x, LOKR_W1_B, 0);
		if (!is_matrix(x, LOKR_W1_A, s.a, rank) || !is_matrix(x, LOKR_W1_B, rank, s.b)) s.a = 0;
	}
	if (!s.a || !s.b || x->rows % s.a || x->in % s.b) return (lokr_sizes){ 0 };
	s.c = x->rows / s.a;
	s.d = x->in / s.b;
	return s;
}

static bool lokr_fits(const adapter *x)
{
	lokr_sizes s = lokr_sizes_of(x);
	if (!s.a) return false;
	if (has(x, LOKR_W2)) return is_matrix(x, LOKR_W2, s.c, columns_of(x, s.d)) && axis(x, LOKR_W2, 1) == s.d;
	int rank = axis(x, LOKR_W2_B, 0);
	if (!has(x, LOKR_T2))
		return is_matrix(x, LOKR_W2_A, s.c, rank) && is_matrix(x, LOKR_W2_B, rank, columns_of(x, s.d));
	return is_matrix(x, LOKR_W2_A, axis(x, LOKR_T2, 0), s.c) && is_matrix(x, LOKR_W2_B, rank, s.d) &&
	       is_core(x, LOKR_T2, axis(x, LOKR_T2, 0), rank);
}

static tensor lokr_second(const merging *m)
{
	if (has(m->a, LOKR_W2)) return part_of(m, LOKR_W2);
	return half(m, LOKR_W2_A, LOKR_W2_B, LOKR_T2);
}

static tensor lokr_difference(const merging *m, tensor w, float factor)
{
	(void)w;
	graph *g = m->g;
	lokr_sizes s = lokr_sizes_of(m->a);
	tensor one = has(m->a, LOKR_W1) ? part_of(m, LOKR_W1) : product(m, part_of(m, LOKR_W1_A), part_of(m, LOKR_W1_B));
	tensor two = affine(g, lokr_second(m), factor, 0);
	int width = s.d * m->a->area;
	one = spread(g, reshape(g, one, shape4(s.a, 1, s.b, 1)), shape4(s.a, s.c, s.b, width));
	two = reshape(g, two, shape4(1, s.c, 1, width));
	return reshape(g, mul(g, one, two), shape2(m->a->rows, m->a->in * m->a->area));
}

/* ── GLoRA: W·a1·a2 + b1·b2 ── */

static bool glora_fits(const adapter *a)
{
	int left = axis(a, GLORA_A2, 0), right = axis(a, GLORA_B2, 0);
	return a->area == 1 && is_matrix(a, GLORA_A1, a->in, left) && is_matrix(a, GLORA_A2, left, a->in) &&
	       is_matrix(a, GLORA_B1, a->rows, right) && is_matrix(a, GLORA_B2, right, a->in);
}

static tensor glora_difference(const merging *m, tensor w, float factor)
{
	graph *g = m->g;
	tensor a = product(m, reshape(g, w, shape2(m->a->rows, m->a->in)), part_of(m, GLORA_A1));
	tensor change = add(g, product(m, a, part_of(m, GLORA_A2)), product(m, part_of(m, GLORA_B1), part_of(m, GLORA_B2)));
	return affine(g, change, factor, 0);
}

/* ── (IA)³ ── */

static bool on_input(const adapter *a)
{
	float on = 0;
	if (has(a, ON_INPUT)) convert(&on, F32, a->part[ON_INPUT].data, a->part[ON_INPUT].dtype, 1);
	return on != 0;
}

static bool ia3_fits(const adapter *a)
{
	return has(a, IA3_WEIGHT) && has(a, ON_INPUT) && count_of(a, IA3_WEIGHT) == (size_t)(on_input(a) ? a->in : a->rows);
}

static tensor ia3_difference(const merging *m, tensor w, float factor)
{
	graph *g = m->g;
	int n = (int)count_of(m->a, IA3_WEIGHT);
	tensor weight = part_as(m, IA3_WEIGHT, on_input(m->a) ? shape3(1, n, 1) : shape3(n, 1, 1));
	return affine(g, reshape(g, mul(g, w, weight), shape2(m->a->rows, m->a->in * m->a->area)), factor, 0);
}

/* ── the whole difference ── */

static bool full_fits(const adapter *a)
{
	return has(a, DIFF) && axis(a, DIFF, 0) == a->rows &&
	       count_of(a, DIFF) == (size_t)a->rows * (size_t)a->in * (size_t)a->area;
}

static tensor full_difference(const merging *m, tensor w, float factor)
{
	(void)w;
	return affine(m->g, part_of(m, DIFF), factor, 0);
}

/* ── OFT and BOFT: blocks of rows are turned ── */

static bool rotation_fits(const adapter *a)
{
	shape s = a->part[OFT_BLOCKS].shape;
	if (!has(a, OFT_BLOCKS) || (s.n != 3 && s.n != 4) || has(a, DORA_SCALE)) return false;
	int size = s.d[s.n - 1], blocks = s.d[s.n - 3], stages = s.n == 4 ? s.d[0] : 1;
	if (size < 1 || size > LARGEST_BLOCK || s.d[s.n - 2] != size || blocks < 1 || blocks != a->rows / size ||
	    a->rows % size || stages < 1 || stages > 30)
		return false;
	/* The last stage exchanges rows that are this far apart. */
	if (s.n == 4 && (size % 2 || a->rows % ((int64_t)size << (stages - 1)))) return false;
	return !has(a, RESCALE) || count_of(a, RESCALE) == (size_t)a->rows;
}

/* Each square of the stage's rotation on its rows; `back`: with the transposed. */
static tensor turn(const merging *m, tensor rotation, int stage, tensor w, bool back)
{
	graph *g = m->g;
	int rows = m->a->rows, band = dim(g, rotation, 1);
	tensor out = 0;
	for (int first = 0; first < rows; first += band) {
		tensor square = slice(g, rotation, 0, stage * rows + first, band);
		tensor y = matmul(g, square, slice(g, w, 0, first, band), back, false, REAL);
		out = first ? concat(g, out, y, 0) : y;
	}
	return out;
}

/* s·y + (1 − s)·x */
static tensor between(const merging *m, tensor x, tensor y)
{
	return add(m->g, affine(m->g, y, m->strength, 0), affine(m->g, x, 1 - m->strength, 0));
}

/* BOFT's stage: rows that lie `apart` from each other become neighbours, are turned in blocks, and go back. */
static tensor butterfly(const merging *m, tensor rotation, int stage, tensor w)
{
	graph *g = m->g;
	int rows = m->a->rows, width = dim(g, w, 1), size = m->a->part[OFT_BLOCKS].shape.d[3];
	int apart = (size / 2) << stage, groups = rows / (2 * apart);
	w = permute(g, reshape(g, w, shape4(groups, 2, apart, width)), 0, 2, 1, 3);
	w = reshape(g, w, shape2(rows, width));
	w = between(m, w, turn(m, rotation, stage, w, false));
	w = permute(g, reshape(g, w, shape4(groups, apart, 2, width)), 0, 2, 1, 3);
	return reshape(g, w, shape2(rows, width));
}

static tensor rotation_changed(const merging *m, tensor w)
{
	graph *g = m->g;
	const adapter *a = m->a;
	tensor rotation = part_of(m, ROTATION);
	w = reshape(g, w, shape2(a->rows, a->in * a->area));
	if (a->part[OFT_BLOCKS].shape.n == 3) {
		w = between(m, w, turn(m, rotation, 0, w, true));
	} else {
		for (int i = 0; i < a->part[OFT_BLOCKS].shape.d[0]; i++) w = butterfly(m, rotation, i, w);
	}
	return has(a, RESCALE) ? mul(g, w, part_as(m, RESCALE, shape2(a->rows, 1))) : w;
}

/* ── DoRA (arXiv 2402.09353): the sum has its lengths set, of its rows or (LyCORIS by default) of its columns ── */

static bool dora_of_rows(const adapter *a) { return has(a, MAGNITUDE) || axis(a, DORA_SCALE, 0) == a->rows; }

static bool dora_fits(const adapter *a)
{
	if (has(a, MAGNITUDE)) return count_of(a, MAGNITUDE) == (size_t)a->rows;
	if (!has(a, DORA_SCALE)) return true;
	return count_of(a, DORA_SCALE) == (size_t)(dora_of_rows(a) ? a->rows : a->in);
}

/* w + strength·(lengths·(w + d)/‖w + d‖ − w) */
static tensor with_lengths(const merging *m, tensor w, tensor d)
{
	graph *g = m->g;
	const adapter *a = m->a;
	shape s = dora_of_rows(a) ? shape3(a->rows, 1, 1) : shape3(1, a->in, 1);
	tensor sum = add(g, w, reshape(g, d, shape3(a->rows, a->in, a->area)));
	tensor norm = activate(g, sum_to(g, activate(g, sum, SQUARE), s), SQRT);
	tensor lengths = part_as(m, has(a, MAGNITUDE) ? MAGNITUDE : DORA_SCALE, s);
	lengths = mul(g, lengths, activate(g, affine(g, norm, 1, 1.1920929e-7f), RECIPROCAL)); /* LyCORIS' epsilon */
	return between(m, w, mul(g, sum, lengths));
}

/* ── the kinds ── */

static const lora_kind kinds[] = {
	{ lora_fits, lora_difference, NULL },
	{ loha_fits, loha_difference, NULL },
	{ lokr_fits, lokr_difference, NULL },
	{ glora_fits, glora_difference, NULL },
	{ full_fits, full_difference, NULL },
	{ ia3_fits, ia3_difference, NULL },
	{ rotation_fits, NULL, rotation_changed },
};

const lora_kind *lora_kind_of(const adapter *a)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].fits(a)) return dora_fits(a) ? &kinds[i] : NULL;
	return NULL;
}

bool lora_turns(const lora_kind *k) { return k && k->changed; }

int lora_rank_of(const adapter *a)
{
	/* LoKr's own rank where either factor is split; a whole one has none. */
	static const lora_part first_axis[] = { DOWN, HADA_W1_B, LOKR_W2_B, LOKR_W1_B, GLORA_A2 };
	for (size_t i = 0; i < sizeof first_axis / sizeof *first_axis; i++)
		if (has(a, first_axis[i])) return axis(a, first_axis[i], 0);
	return 0;
}

/* 1 where the file has no alpha, or nothing whose rank it could be divided by. */
static float scale_of(const adapter *a)
{
	int rank = lora_rank_of(a);
	float alpha = a->alpha;
	if (!rank || (!has(a, ALPHA) && !a->alpha_told)) return 1;
	if (!a->alpha_told) convert(&alpha, F32, a->part[ALPHA].data, a->part[ALPHA].dtype, 1);
	return a->root_of_rank ? alpha / sqrtf((float)rank) : alpha / (float)rank;
}

tensor lora_change(graph *g, const adapter *a, float strength, const char *name, int set, int index, tensor w)
{
	merging m = { g, a, strength, name, set, index };
	shape s = shape3(a->rows, a->in, a->area);
	if (a->kind->changed) return reshape(g, a->kind->changed(&m, w), s);
	bool dora = has(a, DORA_SCALE) || has(a, MAGNITUDE);
	float scale = scale_of(a);
	if (dora) return with_lengths(&m, w, a->kind->difference(&m, w, scale));
	return add(g, w, reshape(g, a->kind->difference(&m, w, scale * strength), s));
}
