/* random.c - MT19937 and PyTorch's distributions on it. */
#include "base/random.h"
#include <math.h>
#include <string.h>

#define TWO_PI 6.283185307179586476925

void generator_seed(generator *g, uint64_t seed)
{
	*g = (generator){ .next = 624 };
	g->state[0] = (uint32_t)seed;
	for (uint32_t i = 1; i < 624; i++) g->state[i] = 1812433253u * (g->state[i - 1] ^ g->state[i - 1] >> 30) + i;
}

static void renew(uint32_t s[624])
{
	for (int i = 0; i < 624; i++) {
		uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % 624] & 0x7fffffffu);
		s[i] = s[(i + 397) % 624] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
	}
}

uint32_t random_u32(generator *g)
{
	if (g->next >= 624) {
		renew(g->state);
		g->next = 0;
	}
	uint32_t y = g->state[g->next++];
	y ^= y >> 11;
	y ^= y << 7 & 0x9d2c5680u;
	y ^= y << 15 & 0xefc60000u;
	return y ^ y >> 18;
}

uint64_t random_u64(generator *g)
{
	uint64_t high = random_u32(g);
	return high << 32 | random_u32(g);
}

void random_uniform(generator *g, float *out, size_t n)
{
	for (size_t i = 0; i < n; i++) out[i] = (float)(random_u32(g) & 0xffffff) * (1.0f / 16777216.0f);
}

static double uniform53(generator *g) { return (double)(random_u64(g) & ((1ull << 53) - 1)) * 0x1p-53; }

static double small_normal(generator *g)
{
	if (g->has_spare) {
		g->has_spare = false;
		return g->spare;
	}
	double u1 = uniform53(g), u2 = uniform53(g);
	double radius = sqrt(-2 * log1p(-u2)), angle = TWO_PI * u1;
	g->spare = radius * sin(angle);
	g->has_spare = true;
	return radius * cos(angle);
}

/* Sixteen uniforms become sixteen normals. The products are rounded to float as PyTorch rounds them; logarithm and
 * sines are taken in double, so that they do not depend on the machine's libm. */
static void transform_block(float d[16])
{
	for (int j = 0; j < 8; j++) {
		float u1 = 1 - d[j], u2 = d[j + 8];
		float radius = sqrtf(-2 * (float)log((double)u1)), angle = (float)TWO_PI * u2;
		d[j] = radius * (float)cos((double)angle);
		d[j + 8] = radius * (float)sin((double)angle);
	}
}

void random_normal(generator *g, float *out, size_t n)
{
	if (n < 16) {
		for (size_t i = 0; i < n; i++) out[i] = (float)small_normal(g);
		return;
	}
	random_uniform(g, out, n);
	for (size_t i = 0; i + 16 <= n; i += 16) transform_block(out + i);
	if (n % 16) {
		random_uniform(g, out + n - 16, 16);
		transform_block(out + n - 16);
	}
}

void random_integers(generator *g, int64_t low, int64_t high, int64_t *out, size_t n)
{
	uint64_t range = (uint64_t)high - (uint64_t)low;
	for (size_t i = 0; i < n; i++) {
		uint64_t draw = range >> 32 ? random_u64(g) : random_u32(g);
		out[i] = (int64_t)((uint64_t)low + draw % range);
	}
}

void random_permutation(generator *g, int64_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++) out[i] = (int64_t)i;
	for (size_t i = 0; i + 1 < n; i++) {
		size_t j = i + (n < UINT32_MAX / 20 ? random_u32(g) : (size_t)random_u64(g)) % (n - i);
		int64_t kept = out[i];
		out[i] = out[j];
		out[j] = kept;
	}
}

static uint8_t *put(uint8_t *p, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++) *p++ = (uint8_t)(value >> 8 * i);
	return p;
}

static const uint8_t *get(const uint8_t *p, uint64_t *value, int bytes)
{
	*value = 0;
	for (int i = 0; i < bytes; i++) *value |= (uint64_t)*p++ << 8 * i;
	return p;
}

void generator_save(const generator *g, uint8_t bytes[GENERATOR_BYTES])
{
	uint64_t spare;
	memcpy(&spare, &g->spare, 8);
	for (int i = 0; i < 624; i++) bytes = put(bytes, g->state[i], 4);
	bytes = put(bytes, g->next, 4);
	bytes = put(bytes, g->has_spare, 4);
	put(bytes, spare, 8);
}

bool generator_load(generator *g, const uint8_t bytes[GENERATOR_BYTES])
{
	generator loaded;
	uint64_t word;
	for (int i = 0; i < 624; i++) {
		bytes = get(bytes, &word, 4);
		loaded.state[i] = (uint32_t)word;
	}
	bytes = get(bytes, &word, 4);
	if (word > 624) return false;
	loaded.next = (uint32_t)word;
	bytes = get(bytes, &word, 4);
	if (word > 1) return false;
	loaded.has_spare = word == 1;
	get(bytes, &word, 8);
	memcpy(&loaded.spare, &word, 8);
	if (!isfinite(loaded.spare)) return false;
	*g = loaded;
	return true;
}
