/* fuzz_gguf.c - any bytes as a GGUF file. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const mapping m = { data, size };
	if (looks_like_gguf(&m)) fuzz_reader(read_gguf, data, size);
	return 0;
}
