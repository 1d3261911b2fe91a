/* philox.c - Philox 4x32-10 and normals from it. */
#include "base/philox.h"
#include <math.h>

void philox4x32_10(uint32_t counter[4], const uint32_t key[2])
{
	uint32_t k0 = key[0], k1 = key[1];
	for (int round = 0; round < 10; round++) {
		uint64_t a = 0xd2511f53ull * counter[0], b = 0xcd9e8d57ull * counter[2];
		uint32_t c1 = counter[1], c3 = counter[3];
		counter[0] = (uint32_t)(b >> 32) ^ c1 ^ k0;
		counter[1] = (uint32_t)b;
		counter[2] = (uint32_t)(a >> 32) ^ c3 ^ k1;
		counter[3] = (uint32_t)a;
		k0 += 0x9e3779b9u;
		k1 += 0xbb67ae85u;
	}
}

void philox_normal(philox *p, float *out, size_t n)
{
	const uint32_t key[2] = { (uint32_t)p->seed, (uint32_t)(p->seed >> 32) };
	for (size_t i = 0; i < n; i++) {
		uint32_t c[4] = { p->calls, 0, (uint32_t)i, 0 };
		philox4x32_10(c, key);
		double u = (c[0] + 0.5) * 0x1p-32, v = (c[1] + 0.5) * 0x1p-32 * 6.283185307179586476925;
		out[i] = (float)(sqrt(-2 * log(u)) * sin(v));
	}
	p->calls++;
}
