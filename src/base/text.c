/* text.c - small questions about texts. */
#include "base/text.h"
#include <stdint.h>
#include <string.h>

bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);
	return n >= m && !strcmp(text + n - m, end);
}

bool is_utf8(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *)text;
	for (size_t i = 0; i < length;) {
		int more = s[i] < 0x80                   ? 0
		           : s[i] >= 0xc2 && s[i] < 0xe0 ? 1
		           : s[i] >= 0xe0 && s[i] < 0xf0 ? 2
		           : s[i] >= 0xf0 && s[i] < 0xf5 ? 3
		                                         : -1;
		if (more < 0 || i + (size_t)more >= length + (more == 0)) return false;
		uint32_t c = more ? s[i] & (0x3fu >> more) : s[i];
		for (int k = 1; k <= more; k++) {
			if ((s[i + (size_t)k] & 0xc0) != 0x80) return false;
			c = c << 6 | (s[i + (size_t)k] & 0x3f);
		}
		if ((more == 2 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) || (more == 3 && (c < 0x10000 || c > 0x10ffff)))
			return false;
		i += (size_t)more + 1;
	}
	return true;
}
