/* fuzz_parameters.c - any bytes as the text in a picture that says how it was made: A1111's lines, or ComfyUI's graph.
 */
#include "fuzz.h"
#include "pipeline/read_parameters.h"

/* The prompt comes first, and names are not empty. */
static void take(void *context, const char *name, const char *value)
{
	size_t *count = context;
	holds(*name && value && ((*count)++ || !strcmp(name, "Prompt")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	error e = { 0 };
	size_t count = 0;
	char *text = calloc(size + 1, 1);
	if (!text) return 0;
	memcpy(text, data, size);
	if (parameters_read(text, take, &count, &e))
		holds(count > 0);
	else
		holds_message(&e);
	free(text);
	return 0;
}
