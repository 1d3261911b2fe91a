/* text.c - small questions about texts. */
#include "base/text.h"
#include <string.h>

bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);
	return n >= m && !strcmp(text + n - m, end);
}
