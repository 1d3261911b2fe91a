/* cuda.c - the rows of the CUDA backend in the order in which they are tried. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/rows.h"

typedef struct row_list {
	const kernel *rows;
	bool needs_products, needs_dnn; /* what the device must have for them */
} row_list;

static const row_list lists[] = { { cuda_product_rows, true, false }, { cuda_convolution_dnn_rows, false, true },
	{ cuda_convolution_rows, true, false }, { cuda_elementwise_rows, false, false }, { cuda_move_rows, false, false },
	{ cuda_sample_rows, false, false }, { cuda_norm_rows, false, false }, { cuda_attention_dnn_rows, false, true },
	{ cuda_attention_rows, false, false }, { cuda_embedding_rows, false, false }, { cuda_update_rows, false, false } };

int cuda_rows(const gpu *g, kernel *table)
{
	int count = 0;
	for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
		if ((lists[l].needs_products && !g->product_new) || (lists[l].needs_dnn && !g->dnn)) continue;
		for (const kernel *k = lists[l].rows; k->op && count < MOST_CUDA_ROWS; k++) table[count++] = *k;
	}
	return count;
}
