/* low_rank.h - the nearest matrix of low rank, as two factors: the singular value decomposition cut off behind the
 * largest values (Eckart and Young 1936). */
#ifndef SUMI_CHECKPOINT_LOW_RANK_H
#define SUMI_CHECKPOINT_LOW_RANK_H
#include "base/lapack.h"
#include <stdbool.h>

typedef struct low_rank_share {
	double all, kept; /* squared sizes (sums of squared singular values) of the matrix and of the product */
} low_rank_share;

/* d [rows,columns] ≈ up [rows,rank] · down [rank,columns], rank ≤ min(rows, columns); column i of `up` and row i of
 * `down` have the root of singular value i as their length, so that both fit small types. Takes 8·min(rows, columns)²
 * bytes three times, and little besides. */
bool low_rank(const lapack *l, const float *d, int rows, int columns, int rank, float *up, float *down,
    low_rank_share *share, error *e);

#endif
