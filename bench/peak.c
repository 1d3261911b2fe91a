/* peak.c - the loop for each set of instructions. Sums are many enough to cover the latency, and nothing is loaded. The
 * peak of bf16 is that of the CPU's tiles where it has them (AMX), for oneDNN uses them. */
#include "peak.h"
#include "base/threads.h"
#include <time.h>
#if defined __x86_64__
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { SUMS = 16, ROUNDS = 200000, BURSTS = 8, LOOPS = 4 /* of a thread in a burst */ };

double seconds(const watch *w)
{
	struct timespec t;
	clock_gettime(w->processor ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
	return ((double)t.tv_sec + 1e-9 * (double)t.tv_nsec) / (w->processor ? w->threads : 1);
}

/* A loop returns something that depends on all its instructions. */
typedef struct loop {
	float (*run)(float seed);
	int flop; /* of a run, divided by ROUNDS */
} loop;

#if defined __x86_64__
__attribute__((target("avx512f,avx512bf16"))) static float run_bf16(float seed)
{
	__m512 sum[SUMS];
	__m512bh x = _mm512_cvtne2ps_pbh(_mm512_set1_ps(seed), _mm512_set1_ps(seed));
#pragma GCC unroll 16
	for (int i = 0; i < SUMS; i++) sum[i] = _mm512_set1_ps((float)i);
	for (int k = 0; k < ROUNDS; k++)
#pragma GCC unroll 16
		for (int i = 0; i < SUMS; i++) sum[i] = _mm512_dpbf16_ps(sum[i], x, x);
#pragma GCC unroll 16
	for (int i = 1; i < SUMS; i++) sum[0] = _mm512_add_ps(sum[0], sum[i]);
	return _mm512_reduce_add_ps(sum[0]);
}

/* Tiles of AMX: four sums of 16×16, from pairs of 16×32 and 32×16. The kernel grants them to a process that asks. */
enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18, TILES = 8, TILE_FLOP = 2 * 16 * 16 * 32 };

static bool tiles_granted(void)
{
	return __builtin_cpu_supports("amx-bf16") && !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA);
}

__attribute__((target("avx512f,amx-tile,amx-bf16"))) static float run_tiles(float seed)
{
	struct {
		uint8_t palette, start_row, reserved[14];
		uint16_t bytes[16];
		uint8_t rows[16];
	} shape = { .palette = 1 };
	for (int i = 0; i < TILES; i++) shape.bytes[i] = 64, shape.rows[i] = 16;
	_tile_loadconfig(&shape);
	float values[16 * 16];
	for (int i = 0; i < 16 * 16; i++) values[i] = seed;
	_tile_zero(0);
	_tile_zero(1);
	_tile_zero(2);
	_tile_zero(3);
	_tile_loadd(4, values, 64);
	_tile_loadd(5, values, 64);
	_tile_loadd(6, values, 64);
	_tile_loadd(7, values, 64);
	for (int k = 0; k < ROUNDS / 4; k++) {
		_tile_dpbf16ps(0, 4, 6);
		_tile_dpbf16ps(1, 4, 7);
		_tile_dpbf16ps(2, 5, 6);
		_tile_dpbf16ps(3, 5, 7);
	}
	_tile_stored(0, values, 64);
	float sum = values[0];
	_tile_stored(3, values, 64);
	_tile_release();
	return sum + values[0];
}

__attribute__((target("avx512f"))) static float run_avx512(float seed)
{
	__m512 sum[SUMS], x = _mm512_set1_ps(seed);
#pragma GCC unroll 16
	for (int i = 0; i < SUMS; i++) sum[i] = _mm512_set1_ps((float)i);
	for (int k = 0; k < ROUNDS; k++)
#pragma GCC unroll 16
		for (int i = 0; i < SUMS; i++) sum[i] = _mm512_fmadd_ps(sum[i], x, x);
#pragma GCC unroll 16
	for (int i = 1; i < SUMS; i++) sum[0] = _mm512_add_ps(sum[0], sum[i]);
	return _mm512_reduce_add_ps(sum[0]);
}

__attribute__((target("avx2,fma"))) static float run_avx2(float seed)
{
	enum { FEW = 12 }; /* of 16 registers */
	__m256 sum[FEW], x = _mm256_set1_ps(seed);
#pragma GCC unroll 16
	for (int i = 0; i < FEW; i++) sum[i] = _mm256_set1_ps((float)i);
	for (int k = 0; k < ROUNDS * SUMS / FEW; k++)
#pragma GCC unroll 16
		for (int i = 0; i < FEW; i++) sum[i] = _mm256_fmadd_ps(sum[i], x, x);
#pragma GCC unroll 16
	for (int i = 1; i < FEW; i++) sum[0] = _mm256_add_ps(sum[0], sum[i]);
	float parts[8], all = 0;
	_mm256_storeu_ps(parts, sum[0]);
	for (int i = 0; i < 8; i++) all += parts[i];
	return all;
}
#endif

/* Without an instruction set that is known: what the compiler makes of it. */
static float run_plain(float seed)
{
	float sum[SUMS];
	for (int i = 0; i < SUMS; i++) sum[i] = (float)i;
	for (int k = 0; k < ROUNDS; k++)
		for (int i = 0; i < SUMS; i++) sum[i] = sum[i] * seed + seed;
	for (int i = 1; i < SUMS; i++) sum[0] += sum[i];
	return sum[0];
}

static loop loop_for(dtype d)
{
#if defined __x86_64__
	if (d == BF16 && tiles_granted()) return (loop){ run_tiles, TILE_FLOP };
	if (d == BF16) return __builtin_cpu_supports("avx512bf16") ? (loop){ run_bf16, 64 * SUMS } : (loop){ NULL, 0 };
	if (__builtin_cpu_supports("avx512f")) return (loop){ run_avx512, 32 * SUMS };
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return (loop){ run_avx2, 16 * SUMS };
#endif
	return d == F32 ? (loop){ run_plain, 2 * SUMS } : (loop){ NULL, 0 };
}

static bool run_loops(const void *context, size_t first, size_t end, int worker)
{
	const loop *l = context;
	volatile float sink = 0;
	(void)worker;
	for (size_t i = first; i < end; i++) sink = sink + l->run(0.5f);
	return true;
}

double peak(dtype d, const watch *w)
{
	loop l = loop_for(d);
	double best = 0;
	if (!l.run) return 0;
	for (int burst = 0; burst < BURSTS; burst++) {
		double start = seconds(w);
		parallel_for(w->threads, (size_t)(w->threads * LOOPS), 1, run_loops, &l);
		double took = seconds(w) - start;
		double rate = (double)w->threads * LOOPS * ROUNDS * l.flop / took;
		if (rate > best) best = rate;
	}
	return best;
}
