/* mma.cuh - the matrix units, in one place: a warp multiplies 16×16 by 16×8 in bf16 and adds up in float.
 *
 * Each lane holds parts of the matrices (PTX ISA, mma.m16n8k16): with g = lane / 4 and t = lane % 4, of A the pairs of
 * columns 2t and 2t + 8 in rows g and g + 8; of B the pairs of rows 2t and 2t + 8 in column g; of the sum the columns
 * 2t and 2t + 1 in rows g (first two) and g + 8. */
#ifndef SUMI_BACKEND_CUDA_MMA_H
#define SUMI_BACKEND_CUDA_MMA_H
#include "backend/cuda/kernels/kernel.cuh"

/* sum += A·B */
DEVICE void multiply(float *sum, const uint32_t *a, uint32_t b0, uint32_t b1)
{
#ifdef __CUDACC__
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
	             "{%0,%1,%2,%3};"
	             : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
	             : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
	shim::multiply(sum, a, b0, b1, __LINE__);
#endif
}

/* Four 8×8 matrices from shared memory: lane l gives the address of row l % 8 of matrix l / 8 (16 bytes, aligned) and
 * gets the pair of columns 2t of row g of each. */
DEVICE void load_matrices(uint32_t *r, const bf16 *row)
{
#ifdef __CUDACC__
	uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(at)
	             : "memory");
#else
	shim::load_matrices(r, row, false, __LINE__);
#endif
}

/* The same, transposed: the pair of rows 2t of column g. */
DEVICE void load_transposed(uint32_t *r, const bf16 *row)
{
#ifdef __CUDACC__
	uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
	             : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
	             : "r"(at)
	             : "memory");
#else
	shim::load_matrices(r, row, true, __LINE__);
#endif
}

/* Copies 16 bytes to shared memory while the thread goes on, zeros where `there` is false; both addresses are multiples
 * of 16. What a thread has begun between two copies_end() is a group; copies_wait<N>() waits for all groups but the
 * last N, of this thread alone: a barrier follows where others read what it has copied. */
DEVICE void copy_later(void *to, const void *from, bool there)
{
#ifdef __CUDACC__
	uint32_t at = (uint32_t)__cvta_generic_to_shared(to), bytes = there ? 16 : 0;
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes) : "memory");
#else
	shim::copy_later(to, from, there ? 16 : 0, __LINE__);
#endif
}

DEVICE void copies_end()
{
#ifdef __CUDACC__
	asm volatile("cp.async.commit_group;" ::: "memory");
#else
	shim::copies_end();
#endif
}

template <int N> DEVICE void copies_wait()
{
#ifdef __CUDACC__
	asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#else
	shim::copies_wait(N);
#endif
}

/* Two numbers as bf16, the first in the lower half. */
DEVICE uint32_t pair_of(float first, float second)
{
#ifdef __CUDACC__
	uint32_t pair;
	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
	return pair;
#else
	return (uint32_t)to_bf16(first).bits | (uint32_t)to_bf16(second).bits << 16;
#endif
}

/* 2^x by the unit for it: 2 ulp, and 0 where the result is denormal. */
DEVICE float power_of_2(float x)
{
#ifdef __CUDACC__
	float y;
	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
	return y;
#else
	return exp2f(x);
#endif
}

#endif
