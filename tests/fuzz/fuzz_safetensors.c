/* fuzz_safetensors.c - any bytes as a safetensors file. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const mapping m = { data, size };
	if (looks_like_safetensors(&m)) fuzz_reader(read_safetensors, data, size);
	return 0;
}
