/* group_norm_avx512.c - group norm with AVX-512. */
#define CODE(name) wide_##name
#define LABEL "vector 512"
#include "backend/cpu/group_norm_body.h"
