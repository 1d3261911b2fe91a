/* json.c - rewrites what Python adds to JSON, then lets jansson read it. */
#include "base/json.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_INTEGER = 18 }; /* digits that fit 64 bits whatever they are */

/* The length of a word that stands for no finite number; 0 where there is none. */
static size_t not_finite(const char *at, const char *end)
{
	static const char *const words[] = { "NaN", "Infinity", "-Infinity" };
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		size_t n = strlen(words[i]);
		if ((size_t)(end - at) >= n && !memcmp(at, words[i], n)) return n;
	}
	return 0;
}

/* The string that begins at a quote, both quotes included. */
static size_t string_length(const char *at, const char *end)
{
	const char *p = at + 1;
	while (p < end && *p != '"') p += *p == '\\' && p + 1 < end ? 2 : 1;
	return (size_t)(p < end ? p + 1 - at : end - at);
}

/* The number that begins here, and whether it is an integer that is too long. */
static size_t number_length(const char *at, const char *end, bool *long_integer)
{
	size_t n = *at == '-';
	size_t digits = n;
	while (at + n < end && isdigit((unsigned char)at[n])) n++;
	bool integer = at + n == end || !strchr(".eE", at[n]);
	*long_integer = integer && n - digits > LONGEST_INTEGER;
	while (at + n < end && at[n] && strchr("0123456789.eE+-", at[n])) n++;
	return n;
}

/* Room for the worst: "NaN" becomes "null", and an integer of 19 digits gains ".0". */
static char *standard_json(const char *text, size_t length, size_t *size)
{
	char *out = length < SIZE_MAX / 2 ? malloc(length + length / 3 + 3) : NULL;
	const char *end = text + length;
	size_t n = 0, piece;
	for (const char *p = text; out && p < end; p += piece) {
		const char *add = "";
		bool long_integer = false;
		if ((piece = not_finite(p, end))) {
			memcpy(out + n, "null", 4);
			n += 4;
			continue;
		}
		piece = *p == '"'                                 ? string_length(p, end)
		        : *p == '-' || isdigit((unsigned char)*p) ? number_length(p, end, &long_integer)
		                                                  : (size_t)1;
		if (long_integer) add = ".0";
		memcpy(out + n, p, piece);
		memcpy(out + n + piece, add, strlen(add));
		n += piece + strlen(add);
	}
	*size = n;
	return out;
}

json_t *json_from_python(const char *text, size_t length, json_error_t *why)
{
	static const char mark[] = "\xef\xbb\xbf"; /* of UTF-8, which some editors write first */
	if (length >= 3 && !memcmp(text, mark, 3)) text += 3, length -= 3;
	json_t *json = json_loadb(text, length, 0, why);
	if (json) return json;
	size_t size;
	char *standard = standard_json(text, length, &size);
	if (standard) json = json_loadb(standard, size, 0, why);
	free(standard);
	return json;
}

void json_set_int(json_t *j, const char *key, int value) { json_object_set_new(j, key, json_integer(value)); }
void json_set_real(json_t *j, const char *key, double value) { json_object_set_new(j, key, json_real(value)); }
void json_set_flag(json_t *j, const char *key, bool value) { json_object_set_new(j, key, json_boolean(value)); }
void json_set_text(json_t *j, const char *key, const char *value) { json_object_set_new(j, key, json_string(value)); }
