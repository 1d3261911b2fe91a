/* random.h - PyTorch's generator for the CPU: MT19937 and the ways PyTorch turns its outputs into uniform, normal
 * and integer numbers, so that a seed means here what it means to users of the Python tools. Integers are the same;
 * normals agree within 1e-6 (PyTorch itself differs that much from build to build).
 * Source of the engine: Matsumoto and Nishimura, "Mersenne Twister", 1998. */
#ifndef SUMI_BASE_RANDOM_H
#define SUMI_BASE_RANDOM_H
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

/* Plain data: a copy of the struct continues as the original would. */
typedef struct generator {
	uint32_t state[624];
	uint32_t next;  /* index of the next word; 624: the state is to be renewed */
	bool has_spare; /* a second normal of a pair is waiting */
	double spare;
} generator;

/* As torch.manual_seed: the engine sees the low 32 bits of the seed. Forgets the spare normal. */
void generator_seed(generator *g, uint64_t seed);

uint32_t random_u32(generator *g);
uint64_t random_u64(generator *g); /* first output in the high half */

/* torch.rand: [0, 1), multiples of 2^-24. */
void random_uniform(generator *g, float *out, size_t n);
/* torch.randn of a tensor with n elements in all. Under 16 elements pairs are drawn one by one, and the second of a
 * pair waits for the next small call; from 16 on blocks of 16 are transformed, the last one drawn anew where n is not
 * a multiple of 16. One call for n numbers is therefore not two calls for n/2. */
void random_normal(generator *g, float *out, size_t n);
/* torch.randint: low <= value < high; needs low < high. */
void random_integers(generator *g, int64_t low, int64_t high, int64_t *out, size_t n);
/* torch.randperm: 0 … n-1 in random order. */
void random_permutation(generator *g, int64_t *out, size_t n);

/* The state as bytes, the same on every machine, for a checkpoint. Load returns false, and leaves g as it was,
 * where the bytes cannot be a state. */
enum { GENERATOR_BYTES = 624 * 4 + 4 + 4 + 8 };
void generator_save(const generator *g, uint8_t bytes[GENERATOR_BYTES]);
bool generator_load(generator *g, const uint8_t bytes[GENERATOR_BYTES]);

#endif
