/* real_gpu.c - the CUDA backend of the first GPU, for the operation test; without one the test is skipped. */
#include "backend/cuda/cuda.h"
#include <stdio.h>
#include <stdlib.h>

const backend *backend_real_gpu(void);

const backend *backend_real_gpu(void)
{
	enum { SKIPPED = 77 };
	error e = { OK, "" };
	const backend *b = backend_cuda(0, &e);
	if (b) return b;
	printf("skipped: %s\n", e.text);
	exit(SKIPPED);
}
