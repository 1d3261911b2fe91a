/* fuzz_clip.c - any bytes as a prompt, through all of CLIP's tokenizers; the first byte chooses. */
#include "fuzz.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const tokenizer_kind kinds[] = { CLIP, OPENCLIP, CLIP_OPENAI, CLIP_PLAIN, CLIP_NFC, CLIP_BASIC };
	static tokenizer *opened[sizeof kinds / sizeof *kinds];
	error e = { 0 };
	if (!size) return 0;
	size_t which = *data % (sizeof kinds / sizeof *kinds), count = 0, dropped = 0;
	if (!opened[which]) holds((opened[which] = tokenizer_open(kinds[which], NULL, 0, &e)));
	const tokenizer *t = opened[which];
	int32_t ids[TEXT_CONTEXT];
	const char *text = (const char *)data + 1;
	if (!tokenizer_encode(t, text, size - 1, NULL, 0, &count, &e)) {
		holds_message(&e);
		return 0;
	}
	holds(tokenizer_encode_padded(t, text, size - 1, ids, TEXT_CONTEXT, &dropped, &e));
	holds(dropped == (count > TEXT_CONTEXT - 2 ? count - (TEXT_CONTEXT - 2) : 0));
	for (int i = 0; i < TEXT_CONTEXT; i++) holds(ids[i] >= 0 && ids[i] < tokenizer_size(t));
	return 0;
}
