/* base64.c - three bytes are four letters. */
#include "base/base64.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *data, size_t bytes)
{
	const unsigned char *from = data;
	char *text = bytes < SIZE_MAX / 2 ? malloc((bytes + 2) / 3 * 4 + 1) : NULL, *to = text;
	if (!text) return NULL;
	for (size_t i = 0; i < bytes; i += 3) {
		uint32_t three = (uint32_t)from[i] << 16;
		if (i + 1 < bytes) three |= (uint32_t)from[i + 1] << 8;
		if (i + 2 < bytes) three |= from[i + 2];
		*to++ = letters[three >> 18];
		*to++ = letters[three >> 12 & 63];
		*to++ = i + 1 < bytes ? letters[three >> 6 & 63] : '=';
		*to++ = i + 2 < bytes ? letters[three & 63] : '=';
	}
	*to = 0;
	return text;
}

static int value_of(char c)
{
	const char *at = c ? strchr(letters, c) : NULL;
	return at ? (int)(at - letters) : -1;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

unsigned char *base64_decode(const char *text, size_t *bytes)
{
	while (is_space(*text)) text++;
	if (!strncasecmp(text, "data:", 5)) {
		const char *comma = strstr(text, ";base64,");
		if (!comma) return NULL;
		text = comma + 8;
	}
	unsigned char *data = malloc(strlen(text) / 4 * 3 + 4), *to = data;
	uint32_t held = 0;
	int bits = 0;
	if (!data) return NULL;
	for (; *text && *text != '='; text++) {
		if (is_space(*text)) continue;
		int v = value_of(*text);
		if (v < 0) goto wrong;
		held = held << 6 | (uint32_t)v;
		if ((bits += 6) < 8) continue;
		bits -= 8;
		*to++ = (unsigned char)(held >> bits);
	}
	while (*text == '=' || is_space(*text)) text++;
	if (*text || bits == 6) goto wrong;
	*bytes = (size_t)(to - data);
	return data;
wrong:
	free(data);
	return NULL;
}
