/* sums.cuh - sums and largest values over a block, for what changes weights. Every thread of the block calls them. */
#ifndef SUMI_BACKEND_CUDA_SUMS_H
#define SUMI_BACKEND_CUDA_SUMS_H
#include "backend/cuda/kernels/kernel.cuh"

/* The sum in double, in thread 0; room: 8 bytes for each warp. */
DEVICE double block_sum_double(double x, double *room)
{
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
	for (int distance = 16; distance; distance /= 2) x += __shfl_xor_sync(ALL_LANES, x, distance);
	__syncthreads();
	if (lane == 0) room[warp] = x;
	__syncthreads();
	if (threadIdx.x) return 0;
	for (int i = 1; i < warps; i++) x += room[i];
	return x;
}

/* The largest of values that are not negative, in every thread; room: 32 floats. */
DEVICE float block_largest(float x, float *room)
{
	int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
	for (int distance = 16; distance; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
	__syncthreads(); /* room may still be read for the value before */
	if (lane == 0) room[warp] = x;
	__syncthreads();
	x = lane < warps ? room[lane] : 0;
	for (int distance = 16; distance; distance /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, distance));
	return x;
}

#endif
