/* fuzz_tar.c - any bytes as a tar archive: each entry lies within them, and the walk ends. */
#include "fuzz.h"
#include "io/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	error e = { 0 };
	tar t = tar_of(data, size, "input");
	unsigned sum = 0;
	size_t before = 0;
	for (tar_file f; tar_next(&t, &f, &e); before = t.at) {
		holds(t.at > before && t.at <= size && f.at <= size && f.size <= size - f.at && f.data == data + f.at);
		holds(strlen(f.name) < TAR_NAME);
		for (size_t i = 0; i < f.size; i++) sum += f.data[i];
	}
	if (failed(&e)) holds_message(&e);
	static volatile unsigned sink;
	sink = sum;
	(void)sink;
	return 0;
}
