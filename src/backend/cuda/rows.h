/* rows.h - the rows of the CUDA backend, by file; cuda.c says in which order they are tried. Each table ends with an
 * empty row. */
#ifndef SUMI_BACKEND_CUDA_ROWS_H
#define SUMI_BACKEND_CUDA_ROWS_H
#include "backend/cuda/gpu.h"

extern const kernel cuda_elementwise_rows[];     /* elementwise.c */
extern const kernel cuda_move_rows[];            /* move.c */
extern const kernel cuda_sample_rows[];          /* sample.c */
extern const kernel cuda_norm_rows[];            /* norm.c */
extern const kernel cuda_embedding_rows[];       /* embedding.c */
extern const kernel cuda_attention_dnn_rows[];   /* attention_dnn.c */
extern const kernel cuda_attention_rows[];       /* attention.c */
extern const kernel cuda_update_rows[];          /* update.c */
extern const kernel cuda_product_rows[];         /* products.c */
extern const kernel cuda_convolution_dnn_rows[]; /* convolution.c */
extern const kernel cuda_convolution_rows[];     /* convolution.c */

#endif
