/* attention_avx2.c - fused attention with AVX2 and FMA. */
#include <immintrin.h>
#define VECTOR __m256
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define BROADCAST _mm256_broadcast_ss
#define FMA _mm256_fmadd_ps
#define ZERO _mm256_setzero_ps
#define CODE attention_avx2
enum { ROWS = 6 }; /* 12 sums, 2 of B and 1 of A: 15 of 16 registers */

#include "backend/cpu/attention_body.h"
