/* cpu.c - the rows of the CPU backend, in the order in which they are tried. */
#include "backend/backend.h"

bool cpu_has_bf16(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("avx512bf16") > 0;
#else
	return false;
#endif
}

const backend *backend_cpu(void) { return backend_reference(); }
