/* memory.c - large blocks. */
#include "base/memory.h"
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

void *memory_new(size_t bytes)
{
	static const size_t huge = (size_t)2 << 20, large = (size_t)32 << 20;
	size_t step = bytes >= large ? huge : 64;
	if (bytes > SIZE_MAX - 64) return NULL;
	size_t whole = bytes ? (bytes + 63) / 64 * 64 : 64;
	void *block = NULL;
	if (posix_memalign(&block, step, whole)) return NULL;
#ifdef MADV_HUGEPAGE
	if (step == huge) madvise(block, whole / huge * huge, MADV_HUGEPAGE); /* what is left over stays in small pages */
#endif
	return block;
}
