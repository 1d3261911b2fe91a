/* shim_run.h - launches kernels that were compiled over shim.h; plain C sees it too. */
#ifndef SUMI_TESTS_CUDA_SHIM_RUN_H
#define SUMI_TESTS_CUDA_SHIM_RUN_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Runs a kernel to its end. NULL: fine; otherwise what is wrong, valid until the next launch. */
const char *shim_launch(const char *kernel, const uint32_t grid[3], uint32_t block, size_t shared_bytes,
    const void *parameters, size_t parameter_bytes);

/* The kernels there are, 0 …: their names, NULL past the last, and the bytes of their parameters. */
const char *shim_kernel(int i);
size_t shim_kernel_bytes(int i);

/* The running kernel has done what it must not. */
void shim_fault(const char *text, int line);

#ifdef __cplusplus
}
#endif
#endif
