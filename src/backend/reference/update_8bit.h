/* update_8bit.h - what the codes of moments in 8 bits mean, for every backend (see update_8bit.c). */
#ifndef SUMI_BACKEND_REFERENCE_UPDATE_8BIT_H
#define SUMI_BACKEND_REFERENCE_UPDATE_8BIT_H
#include <stdbool.h>

/* The values of codes 0, 1, …: rising, the last is 1. has_sign: negative ones too. */
enum { EIGHT_BIT_CODES = 256 };
void eight_bit_values(float values[EIGHT_BIT_CODES], bool has_sign);

#endif
