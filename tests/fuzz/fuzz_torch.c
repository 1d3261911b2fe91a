/* fuzz_torch.c - any bytes as a file of torch.save(), whichever of its two formats they look like. */
#include "fuzz.h"
#include "io/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const mapping m = { data, size };
	if (looks_like_zip(&m))
		fuzz_reader(read_torch_zip, data, size);
	else if (looks_like_pickle(&m))
		fuzz_reader(read_torch_legacy, data, size);
	return 0;
}
