/* seed_sequence.c - entropy and keys mixed into a pool of words, and words out of it. */
#include "base/seed_sequence.h"

/* A multiplier that changes with each use. */
static uint32_t hash(uint32_t value, uint32_t *constant, uint32_t multiplier)
{
	value ^= *constant;
	*constant *= multiplier;
	value *= *constant;
	return value ^ value >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y)
{
	uint32_t result = 0xca01f9ddu * x - 0x4973f715u * y;
	return result ^ result >> 16;
}

/* An integer as words, the lowest first; at least one. */
static int append(uint32_t *words, int n, uint64_t value)
{
	words[n++] = (uint32_t)value;
	if (value >> 32) words[n++] = (uint32_t)(value >> 32);
	return n;
}

void seed_sequence(uint64_t entropy, const uint64_t *keys, int key_count, int pool, uint32_t *out, int n)
{
	uint32_t words[SEED_POOL_MOST + 4] = { 0 }, mixed[SEED_POOL_MOST], a = 0x43b0d7e5u, b = 0x8b51f9ddu;
	int count = append(words, 0, entropy);
	if (key_count) count = pool; /* zeros between entropy and keys, so that the two cannot be confused */
	for (int i = 0; i < key_count; i++) count = append(words, count, keys[i]);
	for (int i = 0; i < pool; i++) mixed[i] = hash(i < count ? words[i] : 0, &a, 0x931e8875u);
	for (int from = 0; from < pool; from++)
		for (int to = 0; to < pool; to++)
			if (from != to) mixed[to] = mix(mixed[to], hash(mixed[from], &a, 0x931e8875u));
	for (int from = pool; from < count; from++)
		for (int to = 0; to < pool; to++) mixed[to] = mix(mixed[to], hash(words[from], &a, 0x931e8875u));
	for (int i = 0; i < n; i++) out[i] = hash(mixed[i % pool], &b, 0x58f38dedu);
}
