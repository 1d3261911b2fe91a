/* cpu.c - the rows of the CPU backend, in the order in which they are tried. */
#include "backend/backend.h"
#include "backend/cpu/igemm.h"
#include "backend/cpu/vector.h"
#include <pthread.h>

bool cpu_has_bf16(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("avx512bf16") > 0;
#else
	return false;
#endif
}

#ifdef SUMI_DOUBLE
const backend *backend_cpu(void) { return backend_reference(); }
#else

static const kernel *const list[] = { &igemm_conv, &igemm_conv_dx, &igemm_conv_dw, &igemm_matmul,
	&igemm_matmul_transposed, &vector_add, &vector_mul, &vector_affine, &vector_activation, &vector_activation_grad,
	&vector_geglu, &vector_geglu_grad, &vector_sum_to, &vector_group_norm, &vector_group_norm_dx, &vector_group_norm_dw,
	&vector_layer_norm, &vector_layer_norm_dx, &vector_layer_norm_dw };
enum { ROWS = sizeof list / sizeof *list };

static kernel rows[ROWS];
static backend cpu = { "cpu", rows, ROWS, NULL };

static void fill_table(void)
{
	for (size_t i = 0; i < ROWS; i++) rows[i] = *list[i];
	cpu.fallback = backend_reference();
}

/* The table is filled once and never changes. */
const backend *backend_cpu(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, fill_table);
	return &cpu;
}
#endif
