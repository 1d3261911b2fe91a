/* cuda.c - the rows of the CUDA backend in the order in which they are tried. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/rows.h"

int cuda_rows(kernel *table)
{
	static const kernel *const lists[] = { cuda_product_rows, cuda_convolution_rows, cuda_elementwise_rows,
		cuda_move_rows, cuda_sample_rows, cuda_norm_rows, cuda_attention_dnn_rows, cuda_attention_rows,
		cuda_embedding_rows, cuda_update_rows };
	int count = 0;
	for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
		for (const kernel *k = lists[l]; k->op && count < MOST_CUDA_ROWS; k++) table[count++] = *k;
	return count;
}
