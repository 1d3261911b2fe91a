/* group_norm_avx2.c - group norm with AVX2 and FMA. */
#define CODE(name) vector_##name
#define LABEL "vector"
#include "backend/cpu/group_norm_body.h"
