/* sha256.c - SHA-256; with the processor's SHA instructions where it has them, since models are gigabytes. */
#include "base/sha256.h"
#include "base/file.h"
#include <string.h>
#include <sys/mman.h>

static const uint32_t constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, //
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, //
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, //
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, //
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, //
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, //
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, //
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2, //
};

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t big_endian(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void portable_blocks(uint32_t state[8], const uint8_t *data, size_t blocks)
{
	for (; blocks--; data += 64) {
		uint32_t w[64], s[8];
		for (int i = 0; i < 16; i++) w[i] = big_endian(data + 4 * i);
		for (int i = 16; i < 64; i++) {
			uint32_t a = w[i - 15], b = w[i - 2];
			w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
			       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
		}
		memcpy(s, state, sizeof s);
		for (int i = 0; i < 64; i++) {
			uint32_t t1 = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
			              ((s[4] & s[5]) ^ (~s[4] & s[6])) + constants[i] + w[i];
			uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
			              ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
			memmove(s + 1, s, 7 * sizeof *s);
			s[4] += t1;
			s[0] = t1 + t2;
		}
		for (int i = 0; i < 8; i++) state[i] += s[i];
	}
}

#if defined __x86_64__
#include <cpuid.h>
#include <immintrin.h>

/* The instructions keep the state as (a,b,e,f) and (c,d,g,h) and do two rounds each; message words are made four at a
 * time from the sixteen before them. */
__attribute__((target("sha,sse4.1"))) static void sha_blocks(uint32_t state[8], const uint8_t *data, size_t blocks)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i t = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
	__m128i cdgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(t, cdgh, 8);
	cdgh = _mm_blend_epi16(cdgh, t, 0xf0);
	for (; blocks--; data += 64) {
		const __m128i abef_before = abef, cdgh_before = cdgh;
		__m128i w[4];
		for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
		for (int i = 0; i < 16; i++) {
			__m128i now = w[i & 3];
			__m128i sum = _mm_add_epi32(now, _mm_loadu_si128((const __m128i *)(constants + 4 * i)));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
			__m128i last = w[(i + 3) & 3], next = _mm_sha256msg1_epu32(now, w[(i + 1) & 3]);
			next = _mm_add_epi32(next, _mm_alignr_epi8(last, w[(i + 2) & 3], 4));
			w[i & 3] = _mm_sha256msg2_epu32(next, last);
		}
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	t = _mm_shuffle_epi32(abef, 0x1b);
	cdgh = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)state, _mm_blend_epi16(t, cdgh, 0xf0));
	_mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(cdgh, t, 8));
}

static bool has_sha(void)
{
	unsigned a, b, c, d;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1 && __builtin_cpu_supports("sse4.1");
}
#else
#define sha_blocks portable_blocks
static bool has_sha(void) { return false; }
#endif

static void add_blocks(uint32_t state[8], const uint8_t *data, size_t blocks)
{
	(has_sha() ? sha_blocks : portable_blocks)(state, data, blocks);
}

void sha256_begin(sha256 *h)
{
	*h = (sha256){ .state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
		               0x5be0cd19 } };
}

void sha256_add(sha256 *h, const void *data, size_t bytes)
{
	const uint8_t *p = data;
	size_t waiting = h->bytes % 64, room = 64 - waiting;
	h->bytes += bytes;
	if (bytes < room) {
		if (bytes) memcpy(h->block + waiting, p, bytes);
		return;
	}
	memcpy(h->block + waiting, p, room);
	add_blocks(h->state, h->block, 1);
	p += room;
	bytes -= room;
	add_blocks(h->state, p, bytes / 64);
	memcpy(h->block, p + bytes / 64 * 64, bytes % 64);
}

void sha256_end(sha256 *h, uint8_t digest[32])
{
	static const uint8_t padding[64] = { 0x80 };
	uint8_t length[8];
	for (int i = 0; i < 8; i++) length[i] = (uint8_t)(h->bytes * 8 >> (56 - 8 * i));
	sha256_add(h, padding, 1 + (119 - h->bytes % 64) % 64);
	sha256_add(h, length, 8);
	for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(h->state[i / 4] >> (24 - i % 4 * 8));
}

void sha256_hex(const uint8_t digest[32], char hex[65])
{
	for (int i = 0; i < 64; i++) hex[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 ? 0 : 4) & 15];
	hex[64] = 0;
}

void sha256_of(const void *data, size_t bytes, char hex[65])
{
	sha256 h;
	uint8_t digest[32];
	sha256_begin(&h);
	sha256_add(&h, data, bytes);
	sha256_end(&h, digest);
	sha256_hex(digest, hex);
}

bool sha256_of_file(const char *path, char hex[65], error *e) { return sha256_of_file_from(path, 0, hex, e); }

bool sha256_of_file_from(const char *path, size_t first, char hex[65], error *e)
{
	enum { PART = 4 << 20 };
	mapping m;
	sha256 h;
	uint8_t digest[32];
	if (!map_file(&m, path, e)) return false;
	sha256_begin(&h);
	for (size_t at = 0; at < m.size; at += PART) {
		size_t n = m.size - at < PART ? m.size - at : PART, skip = first > at ? first - at : 0;
		if (skip < n) sha256_add(&h, m.data + at + skip, n - skip);
		madvise((void *)(m.data + at), n, MADV_DONTNEED); /* gigabytes must not pile up in our memory */
	}
	unmap_file(&m);
	sha256_end(&h, digest);
	sha256_hex(digest, hex);
	return true;
}
