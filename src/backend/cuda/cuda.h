/* cuda.h - the CUDA backend: the same graph on an NVIDIA GPU. Machines without one lose nothing by it: libraries are
 * found when the program runs. */
#ifndef SUMI_BACKEND_CUDA_CUDA_H
#define SUMI_BACKEND_CUDA_CUDA_H
#include "graph/graph.h"

/* The backend of one GPU, 0 the first; the same each time, alive until the program ends. NULL: there is no such GPU, or
 * something that it needs is missing or too old: e says what. Any thread may use it; work of several is done in turn.
 */
const backend *backend_cuda(int ordinal, error *e);

int cuda_device_count(void); /* 0 where there is no driver */

/* What was found, in lines that end with a newline: versions, GPUs, and what is missing. */
void cuda_describe(char *text, size_t room);

/* Copies the rows that the GPU has the libraries for, in the order in which they are tried, to a table with room for
 * MOST_CUDA_ROWS; returns how many there are. They run on a device whose context is that gpu (gpu.h). */
enum { MOST_CUDA_ROWS = 96 };
struct gpu;
int cuda_rows(const struct gpu *g, kernel *table);

#endif
