/* attention_avx512.c - fused attention with AVX-512. */
#include <immintrin.h>
#define VECTOR __m512
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define BROADCAST(p) _mm512_set1_ps(*(p))
#define FMA _mm512_fmadd_ps
#define ZERO _mm512_setzero_ps
#define CODE attention_avx512
enum { ROWS = 12 }; /* 24 sums, 2 of B and 1 of A: 27 of 32 registers */

#include "backend/cpu/attention_body.h"
