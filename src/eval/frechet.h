/* frechet.h - how far apart two sets of features are, as Gaussians (Dowson and Landau 1982; Heusel et al. 2017):
 *     |m1 − m2|² + tr(C1 + C2 − 2·(C1^½ C2 C1^½)^½)
 * Everything in double. A set needs more members than features for its covariance to have full rank; the estimate is
 * biased upwards by an amount that falls with the number of members, so compare sets of about the same size. */
#ifndef SUMI_EVAL_FRECHET_H
#define SUMI_EVAL_FRECHET_H
#include "base/error.h"
#include <stddef.h>

/* Features [count][width], count ≥ 2. */
bool frechet_distance(
    const float *a, size_t a_count, const float *b, size_t b_count, int width, double *distance, error *e);

/* Eigenvalues, and eigenvectors in the columns of vectors [n][n], of a symmetric matrix [n][n], which is destroyed:
 * Jacobi's rotations, cyclic by rows (Golub and Van Loan, 8.5). */
void symmetric_eigen(double *matrix, int n, double *values, double *vectors);

#endif
