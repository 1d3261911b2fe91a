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

/* Two numbers as bf16, the first in the lower half. */
DEVICE uint32_t pair_of(float first, float second)
{
	return (uint32_t)to_bf16(first).bits | (uint32_t)to_bf16(second).bits << 16;
}

#endif
