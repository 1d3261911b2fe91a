/* low_rank.c - the singular vectors of D are the eigenvectors of D·Dᵀ (or of Dᵀ·D, the smaller of the two), its
 * singular values the roots of the eigenvalues. In double this loses nothing of values that are floats, and takes a
 * third of the time of a decomposition of D itself; the other side's vectors are D's own products with these. */
#include "checkpoint/low_rank.h"
#include "base/resources.h"
#include <math.h>
#include <stdlib.h>

enum {
	PANEL = 1 << 19, /* values that are widened to double at a time */
	LEAST = 256,     /* of a side for which several threads are worth waking */
};

/* D as LAPACK sees it is Dᵀ: a matrix [columns,rows] that lies column by column. It is read in panels that are as wide
 * as the smaller side. */
typedef struct task {
	const lapack *l;
	const float *d;
	int rows, columns;
	bool wide;           /* rows ≤ columns: panels are columns of D, else rows of it */
	int side, other, at; /* the smaller side, the larger one, how much of it a panel takes */
	double *panel;       /* wide: [side][at], else [at][side] */
	double *square;      /* [side,side] */
	double *values;      /* [side], rising */
} task;

static int fill_panel(const task *t, int first)
{
	int n = t->other - first < t->at ? t->other - first : t->at;
	if (t->wide)
		for (int r = 0; r < t->side; r++)
			for (int i = 0; i < n; i++)
				t->panel[(size_t)r * (size_t)n + (size_t)i] =
				    t->d[(size_t)r * (size_t)t->columns + (size_t)(first + i)];
	else
		for (size_t i = 0; i < (size_t)n * (size_t)t->side; i++)
			t->panel[i] = t->d[(size_t)first * (size_t)t->side + i];
	return n;
}

static void multiply_by_itself(const task *t)
{
	const double one = 1, zero = 0;
	for (int first = 0; first < t->other; first += t->at) {
		int n = fill_panel(t, first);
		t->l->dsyrk("U", t->wide ? "T" : "N", &t->side, &n, &one, t->panel, t->wide ? &n : &t->side,
		    first ? &one : &zero, t->square, &t->side, 1, 1);
	}
}

static bool decompose(const task *t, error *e)
{
	int work_size = -1, integers_size = -1, info = 0, integers_wanted;
	double wanted;
	t->l->dsyevd("V", "U", &t->side, t->square, &t->side, t->values, &wanted, &work_size, &integers_wanted,
	    &integers_size, &info, 1, 1);
	work_size = (int)wanted;
	integers_size = integers_wanted;
	double *work = malloc((size_t)work_size * sizeof *work);
	int *integers = malloc((size_t)integers_size * sizeof *integers);
	bool fine = (work && integers) || fail(e, NO_MEMORY, "no memory to decompose %d×%d values", t->rows, t->columns);
	if (fine)
		t->l->dsyevd("V", "U", &t->side, t->square, &t->side, t->values, work, &work_size, integers, &integers_size,
		    &info, 1, 1);
	free(work);
	free(integers);
	return fine &&
	       (!info || fail(e, BAD_FILE, "a difference of %d×%d values cannot be decomposed", t->rows, t->columns));
}

/* The products of D with the vectors of the largest values, i-th [rank] of place p of the larger side at
 * place_step·p + rank_step·i. */
static bool multiply_by_vectors(const task *t, int rank, float *out, size_t place_step, size_t rank_step, error *e)
{
	const double one = 1, zero = 0;
	const double *vectors = t->square + (size_t)(t->side - rank) * (size_t)t->side;
	double *products = malloc((size_t)t->at * (size_t)rank * sizeof *products);
	if (!products) return fail(e, NO_MEMORY, "no memory to decompose %d×%d values", t->rows, t->columns);
	for (int first = 0; first < t->other; first += t->at) {
		int n = fill_panel(t, first);
		t->l->dgemm(t->wide ? "N" : "T", "N", &n, &rank, &t->side, &one, t->panel, t->wide ? &n : &t->side, vectors,
		    &t->side, &zero, products, &n, 1, 1);
		for (int i = 0; i < rank; i++)
			for (int k = 0; k < n; k++)
				out[(size_t)(first + k) * place_step + (size_t)(rank - 1 - i) * rank_step] =
				    (float)products[(size_t)i * (size_t)n + (size_t)k];
	}
	free(products);
	return true;
}

/* Gives both factors the root of each singular value, which the products have whole; and the share. */
static void balance(const task *t, int rank, float *up, float *down, low_rank_share *share)
{
	float *products = t->wide ? down : up, *vectors = t->wide ? up : down;
	size_t columns = (size_t)t->columns, r = (size_t)rank;
	size_t product_step = t->wide ? 1 : r, vector_step = t->wide ? r : 1;
	for (size_t i = 0; i < r; i++) {
		float *p = products + i * (t->wide ? columns : 1), *v = vectors + i * (t->wide ? 1 : columns);
		const double *from = t->square + (size_t)(t->side - 1 - (int)i) * (size_t)t->side;
		double square = 0;
		for (int k = 0; k < t->other; k++) square += (double)p[(size_t)k * product_step] * p[(size_t)k * product_step];
		double root = sqrt(sqrt(square));
		for (int k = 0; k < t->other; k++)
			p[(size_t)k * product_step] = root > 0 ? (float)(p[(size_t)k * product_step] / root) : 0;
		for (int k = 0; k < t->side; k++) v[(size_t)k * vector_step] = (float)(from[k] * root);
		share->kept += square;
	}
}

static bool run(const task *t, int rank, float *up, float *down, low_rank_share *share, error *e)
{
	size_t all = (size_t)t->rows * (size_t)t->columns;
	for (size_t i = 0; i < all; i++) share->all += (double)t->d[i] * (double)t->d[i];
	if (!isfinite(share->all)) return fail(e, BAD_FILE, "a difference holds values that are not finite");
	multiply_by_itself(t);
	if (!decompose(t, e)) return false;
	bool fine = t->wide ? multiply_by_vectors(t, rank, down, 1, (size_t)t->columns, e)
	                    : multiply_by_vectors(t, rank, up, (size_t)rank, 1, e);
	if (fine) balance(t, rank, up, down, share);
	return fine;
}

bool low_rank(const lapack *l, const float *d, int rows, int columns, int rank, float *up, float *down,
    low_rank_share *share, error *e)
{
	task t = { .l = l, .d = d, .rows = rows, .columns = columns, .wide = rows <= columns };
	t.side = t.wide ? rows : columns;
	t.other = t.wide ? columns : rows;
	t.at = PANEL / t.side + 1;
	if (t.at > t.other) t.at = t.other;
	*share = (low_rank_share){ 0 };
	size_t side = (size_t)t.side;
	t.panel = malloc((size_t)t.at * side * sizeof *t.panel);
	t.square = malloc(side * side * sizeof *t.square);
	t.values = malloc(side * sizeof *t.values);
	if (l->set_threads) l->set_threads(t.side < LEAST ? 1 : usable_cpus());
	bool fine =
	    (t.panel && t.square && t.values) || fail(e, NO_MEMORY, "no memory to decompose %d×%d values", rows, columns);
	fine = fine && run(&t, rank, up, down, share, e);
	free(t.panel);
	free(t.square);
	free(t.values);
	return fine;
}
