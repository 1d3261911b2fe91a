/* lapack.h - the machine's linear algebra library (OpenBLAS, else LAPACK's reference), loaded when it is first asked
 * for: the library starts threads as it is loaded, which a program that draws pictures has no use for. Fortran's
 * interface: matrices lie column by column, and behind the arguments stand the lengths of the texts among them. */
#ifndef SUMI_BASE_LAPACK_H
#define SUMI_BASE_LAPACK_H
#include "base/error.h"
#include <stddef.h>

typedef struct lapack {
	/* c = alpha·a·aᵀ + beta·c (trans "N") or alpha·aᵀ·a + beta·c ("T"); one triangle of c [n,n] */
	void (*dsyrk)(const char *triangle, const char *trans, const int *n, const int *k, const double *alpha,
	    const double *a, const int *lda, const double *beta, double *c, const int *ldc, size_t, size_t);
	/* c [m,n] = alpha·op(a)·op(b) + beta·c */
	void (*dgemm)(const char *trans_a, const char *trans_b, const int *m, const int *n, const int *k,
	    const double *alpha, const double *a, const int *lda, const double *b, const int *ldb, const double *beta,
	    double *c, const int *ldc, size_t, size_t);
	/* a [n,n] symmetric → its eigenvectors, columns of a, by rising eigenvalues w; *info is not 0 where it failed */
	void (*dsyevd)(const char *job, const char *triangle, const int *n, double *a, const int *lda, double *w,
	    double *work, const int *lwork, int *iwork, const int *liwork, int *info, size_t, size_t);
	void (*set_threads)(int); /* of the calls that follow; NULL: the library has no threads of its own */
} lapack;

/* UNAVAILABLE where it is not installed: the message says what to install. It lives as long as the process. */
const lapack *lapack_load(error *e);

#endif
