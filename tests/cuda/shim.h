/* shim.h - enough of CUDA C++ to run a kernel on the host: what src/backend/cuda/kernels/kernel.cuh includes where the
 * compiler is not nvcc.
 *
 * The threads of a block are fibers (shim.cpp), one running at a time, and changed only where a kernel waits: at a
 * barrier, or where a warp exchanges values. In which order they run is drawn anew for each launch, shared memory
 * begins as NaN, and a barrier that not every thread reaches is an error: so a missing barrier shows as a result that
 * changes with the order, an unwritten value as NaN. Blocks run one after the other, in an order that is drawn as well.
 */
#ifndef SUMI_TESTS_CUDA_SHIM_H
#define SUMI_TESTS_CUDA_SHIM_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DEVICE static inline
#define DEVICE_METHOD inline
#define UNROLL
#define ALL_LANES 0xffffffffu
#define SHARED(type, name) type *name = (type *)shim::shared()

/* A kernel registers itself by name; the launch hands it its one parameter. */
#define KERNEL(name, type)                                                            \
	static void name(const type &p);                                                  \
	static void name##_entry(const void *p) { name(*(const type *)p); }               \
	static shim::registration name##_registration(#name, name##_entry, sizeof(type)); \
	static void name(const type &p)

#define KERNEL_OF(threads, blocks, name, type) KERNEL(name, type)

struct dim3 {
	uint32_t x, y, z;
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace shim
{
struct registration {
	registration(const char *name, void (*entry)(const void *), size_t bytes);
};
void *shared();
void barrier(int line);
/* Every lane of the warp gives SLOT bytes at most and sees what all lanes gave, SLOT apart, until the warp's next
 * exchange but one. */
enum { SLOT = 32 };
const char *exchange(const void *value, size_t bytes, int line);

template <class T> T from_lane(T value, int lane, int line)
{
	const char *all = exchange(&value, sizeof value, line);
	memcpy(&value, all + lane * SLOT, sizeof value);
	return value;
}

/* A copy to shared memory that is done when it is waited for, and leaves NaN there until then. bytes: of the 16, the
 * others become 0. Copies between two calls of copies_end() are a group; copies_wait() leaves `groups` under way. */
void copy_later(void *to, const void *from, size_t bytes, int line);
void copies_end();
void copies_wait(int groups);

/* The matrix units of mma.cuh, element by element. */
void multiply(float *sum, const uint32_t *a, uint32_t b0, uint32_t b1, int line);
void load_matrices(uint32_t *r, const void *row, bool transposed, int line);
} // namespace shim

#define __syncthreads() shim::barrier(__LINE__)
#define __shfl_xor_sync(mask, value, distance) shim::from_lane(value, (int)(threadIdx.x % 32) ^ (distance), __LINE__)
#define __shfl_sync(mask, value, lane) shim::from_lane(value, (lane), __LINE__)

static inline int atomicExch(int *at, int value)
{
	int old = *at;
	*at = value;
	return old;
}

#endif
