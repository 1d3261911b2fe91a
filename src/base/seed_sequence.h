/* seed_sequence.h - NumPy's SeedSequence: well mixed 32-bit seeds from an entropy and a path of keys, so that the nodes
 * of a tree draw independent numbers that depend on their place alone.
 * Source: M. O'Neill, "Developing a seed_seq Alternative", 2015, with NumPy's constants and order of words. */
#ifndef SUMI_BASE_SEED_SEQUENCE_H
#define SUMI_BASE_SEED_SEQUENCE_H
#include <stdint.h>

enum { SEED_POOL_MOST = 24 };

/* SeedSequence(entropy, spawn_key=keys, pool_size=pool).generate_state(n). pool: 4 … SEED_POOL_MOST words; keys: 0 … 2.
 */
void seed_sequence(uint64_t entropy, const uint64_t *keys, int key_count, int pool, uint32_t *out, int n);

#endif
