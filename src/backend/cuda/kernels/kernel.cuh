/* kernel.cuh - what every kernel file begins with: how a kernel is declared, element types, and sums over a warp and a
 * block. The kernels are CUDA C++ that nvcc compiles for a GPU, and any C++ compiler over tests/cuda/shim.h, where the
 * threads of a block are fibers: so each kernel is checked on a machine without a GPU.
 *
 * Every kernel has one parameter, a struct of params.h, and takes all its shared memory dynamically: the launch says
 * how much. Sums are made in an order that depends on shapes alone. */
#ifndef SUMI_BACKEND_CUDA_KERNEL_H
#define SUMI_BACKEND_CUDA_KERNEL_H
#include "backend/cuda/kernels/params.h"
#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define DEVICE static __device__ __forceinline__
/* blocks: that fit a multiprocessor at once at least; registers are kept to so few. 1: as many as the kernel likes */
#define KERNEL_OF(threads, blocks, name, type) \
	extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ type p)
#define KERNEL(name, type) KERNEL_OF(MAX_BLOCK, 1, name, type)
extern __shared__ __align__(16) char shared_bytes[];
#define SHARED(type, name) type *name = (type *)shared_bytes
#define DEVICE_METHOD __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define ALL_LANES 0xffffffffu
#else
#include <shim.h>
#endif

/* One kernel for each element type: `name`_f32 and `name`_bf16, whose body is name<T>(p). */
#define KERNELS(name, type)                             \
	KERNEL(name##_f32, type) { name##_body<float>(p); } \
	KERNEL(name##_bf16, type) { name##_body<bf16>(p); }

struct bf16 {
	uint16_t bits;
};

DEVICE float bits_as_float(uint32_t bits)
{
#ifdef __CUDACC__
	return __uint_as_float(bits);
#else
	float x;
	memcpy(&x, &bits, sizeof x);
	return x;
#endif
}

DEVICE uint32_t float_as_bits(float x)
{
#ifdef __CUDACC__
	return __float_as_uint(x);
#else
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits;
#endif
}

DEVICE float widen(float x) { return x; }
DEVICE float widen(bf16 x) { return bits_as_float((uint32_t)x.bits << 16); }

/* To the nearest, ties to even; NaN stays NaN. */
DEVICE bf16 to_bf16(float x)
{
	bf16 y;
#ifdef __CUDACC__
	asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
#else
	uint32_t bits = float_as_bits(x);
	y.bits = x != x ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
#endif
	return y;
}

DEVICE void round_to(float *y, float x) { *y = x; }
DEVICE void round_to(bf16 *y, float x) { *y = to_bf16(x); }
template <class T> DEVICE T narrow(float x)
{
	T y;
	round_to(&y, x);
	return y;
}

DEVICE float from_half(uint16_t bits)
{
	float x;
#ifdef __CUDACC__
	asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
#else
	uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = bits & 0x7fff;
	if (rest >= 0x7c00)
		x = bits_as_float(0x7f800000 | rest << 13);
	else
		x = bits_as_float(rest << 13) * 0x1p112f; /* the exponent's bias, 127 − 15; subnormal numbers too */
	x = bits_as_float(float_as_bits(x) | sign);
#endif
	return x;
}

/* Element i of an array whose type only the launch knows. */
DEVICE float load_as(const void *x, size_t i, int element)
{
	switch (element) {
	case ELEMENT_F32: return ((const float *)x)[i];
	case ELEMENT_BF16: return widen(((const bf16 *)x)[i]);
	default: return from_half(((const uint16_t *)x)[i]);
	}
}

DEVICE void store_as(void *y, size_t i, int element, float x) /* F32 or BF16 */
{
	if (element == ELEMENT_F32)
		((float *)y)[i] = x;
	else
		((bf16 *)y)[i] = to_bf16(x);
}

/* 16 bytes of T, moved at once; the address is a multiple of 16. */
template <class T> struct alignas(16) pack {
	enum { COUNT = 16 / sizeof(T) };
	T v[COUNT];
};

/* W neighbours, computed with as floats; in memory they are moved at once: the address is a multiple of their size. */
template <int W> struct values {
	float v[W];
};
template <class T, int W> struct alignas(W * sizeof(T)) neighbours {
	T v[W];
};

template <class T, int W> DEVICE values<W> load(const void *x, size_t at) /* from element `at` on */
{
	neighbours<T, W> q = *(const neighbours<T, W> *)((const T *)x + at);
	values<W> r;
	UNROLL for (int k = 0; k < W; k++) r.v[k] = widen(q.v[k]);
	return r;
}

template <class T, int W> DEVICE void store(void *y, size_t at, const values<W> &x)
{
	neighbours<T, W> q;
	UNROLL for (int k = 0; k < W; k++) q.v[k] = narrow<T>(x.v[k]);
	*(neighbours<T, W> *)((T *)y + at) = q;
}

/* This thread among all of a one-dimensional grid, and how many there are: for loops over what any thread may do. */
DEVICE size_t first_index() { return (size_t)blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE size_t all_threads() { return (size_t)gridDim.x * blockDim.x; }

/* The sum of x over a warp, in every lane. */
DEVICE float warp_sum(float x)
{
	for (int distance = 16; distance; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
	return x;
}

/* The sum of x over a block of whole warps, in every thread; `room` is shared memory for 32 floats. Every thread of
 * the block calls it. */
DEVICE float block_sum(float x, float *room)
{
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
	x = warp_sum(x);
	__syncthreads(); /* room may still be read for the sum before */
	if (lane == 0) room[warp] = x;
	__syncthreads();
	return warp_sum(lane < warps ? room[lane] : 0);
}

#endif
