/* fuzz_unigram.c - any bytes as a prompt through T5's tokenizer. */
#include "fuzz.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static tokenizer *t5;
	error e = { 0 };
	int32_t ids[TEXT_CONTEXT];
	size_t dropped;
	if (!t5) holds((t5 = tokenizer_open(T5, NULL, 0, &e)));
	if (!tokenizer_encode_padded(t5, (const char *)data, size, ids, TEXT_CONTEXT, &dropped, &e)) {
		holds_message(&e);
		return 0;
	}
	for (int i = 0; i < TEXT_CONTEXT; i++) holds(ids[i] >= 0 && ids[i] < tokenizer_size(t5));
	return 0;
}
