/* cpu.c - the rows of the CPU backend, in the order in which they are tried. */
#include "backend/backend.h"
#include "backend/cpu/igemm.h"
#include "backend/cpu/rows.h"
#include "backend/cpu/tiles.h"
#include "backend/cpu/vector.h"
#include <pthread.h>
#if defined __x86_64__
#include <sys/syscall.h>
#include <unistd.h>
#endif

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

static bool has_avx512(void)
{
#if defined __x86_64__
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
	return false;
#endif
}

/* The tiles of AMX, which Linux grants to a process that asks. */
static bool has_tiles(void)
{
#if defined __x86_64__
	enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
	return has_avx512() && cpu_has_bf16() && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
	       !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
#else
	return false;
#endif
}

static const kernel *const thin[] = { &onednn_conv_forward_thin, &onednn_conv_dx_thin, &onednn_conv_dw_thin, NULL };
static const kernel *const by_onednn[] = { &onednn_conv_forward, &onednn_conv_dx, &onednn_conv_dw_columns,
	&onednn_conv_dw, &onednn_matmul_tiles, NULL };
static const kernel *const by_tiles[] = { &igemm_conv, &igemm_conv_dx, &igemm_conv_dw, &igemm_matmul,
	&igemm_matmul_transposed, NULL };
static const kernel *const vectors[] = { &vector_cast, &vector_add, &vector_mul, &vector_affine, &vector_activation,
	&vector_activation_grad, &vector_geglu, &vector_geglu_grad, &vector_sum_to, &vector_group_norm,
	&vector_group_norm_sums, &vector_group_norm_dx, &vector_layer_norm, &vector_layer_norm_dx, &vector_layer_norm_dw,
	&vector_rms_norm, &vector_rms_norm_dx, &vector_rms_norm_dw, NULL };
static const kernel *const rounded[] = { &rounded_group_norm, NULL };
static const kernel *const wide[] = { &wide_geglu, &wide_group_norm, &wide_group_norm_sums, &wide_group_norm_dx, NULL };

static const kernel *const tiled[] = { &tiles_conv, &tiles_matmul, &tiled_attention, NULL };
static const kernel *const fused[] = { &fused_attention, &fused_attention_grad, NULL };

enum { ROWS = 64 };

static kernel rows[ROWS];
static backend cpu = { .name = "cpu", .rows = rows };

static void append(const kernel *const *list)
{
	while (*list && cpu.count < ROWS) rows[cpu.count++] = **list++;
}

/* One thread where the work is done in less time than it takes to wake the others, and to wait for them. */
static int worth(const call *c, int most)
{
	enum { WORTH_SHARING = 4000000, PER_ELEMENT = 64 };
	double elements = (double)shape_count(c->y->shape);
	for (int k = 0; k < c->y->inputs; k++) elements += c->x[k] ? (double)shape_count(c->x[k]->shape) : 0;
	return call_flop(c) + PER_ELEMENT * elements < WORTH_SHARING ? 1 : most;
}

/* oneDNN uses AVX-512 to the full; with less, our own tiles are as fast and faster on small pictures. */
static void fill_table(void)
{
	append(thin);
	if (has_tiles()) append(tiled);
	append(has_avx512() ? by_onednn : by_tiles);
	append(has_avx512() ? by_tiles : by_onednn);
	if (has_avx512() && cpu_has_bf16()) append(rounded);
	if (has_avx512()) append(wide);
	append(vectors);
	append(fused);
	cpu.fallback = backend_reference();
	cpu.threads = worth;
	cpu.fuses_casts = true;
}

/* The table is filled once and never changes. */
const backend *backend_cpu(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, fill_table);
	return &cpu;
}
#endif
