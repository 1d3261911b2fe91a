/* rows.h - the rows of the CPU backend, by file; cpu.c says in which order they are tried. */
#ifndef SUMI_BACKEND_CPU_ROWS_H
#define SUMI_BACKEND_CPU_ROWS_H
#include "backend/share.h"

/* convolution.c, convolution_weight.c, matmul.c: oneDNN; thin: only where a convolution has few channels */
extern const kernel onednn_conv_forward, onednn_conv_dx, onednn_conv_dw, onednn_matmul_tiles;
extern const kernel onednn_conv_forward_thin, onednn_conv_dx_thin, onednn_conv_dw_thin;

/* convolution_columns.c: on small maps */
extern const kernel onednn_conv_dw_columns;

/* attention.c; tiled: only where the system grants the tiles of AMX */
extern const kernel tiled_attention, fused_attention, fused_attention_grad;

static inline size_t aligned(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

#endif
