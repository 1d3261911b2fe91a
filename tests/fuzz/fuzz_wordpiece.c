/* fuzz_wordpiece.c - any bytes as a prompt through WordPiece; and, where a line of dashes divides them, what is before
 * it as the vocabulary. */
#include "fuzz.h"
#include "text/tokenizer.h"

static void encode(const tokenizer *t, const char *text, size_t length)
{
	error e = { 0 };
	int32_t ids[TEXT_CONTEXT];
	size_t dropped;
	if (!tokenizer_encode_padded(t, text, length, ids, TEXT_CONTEXT, &dropped, &e)) {
		holds_message(&e);
		return;
	}
	for (int i = 0; i < TEXT_CONTEXT; i++) holds(ids[i] >= 0 && ids[i] < tokenizer_size(t));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char line[] = "----\n";
	static tokenizer *bert;
	error e = { 0 };
	const uint8_t *cut = memmem(data, size, line, sizeof line - 1);
	if (!cut) {
		if (!bert) holds((bert = tokenizer_open(WORDPIECE, NULL, 0, &e)));
		encode(bert, (const char *)data, size);
		return 0;
	}
	size_t before = (size_t)(cut - data), behind = before + sizeof line - 1;
	tokenizer *t = tokenizer_open(WORDPIECE, (const char *)data, before, &e);
	if (t)
		encode(t, (const char *)data + behind, size - behind);
	else
		holds_message(&e);
	tokenizer_close(t);
	return 0;
}
