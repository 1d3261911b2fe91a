/* json.h - JSON as Python's json module writes it, which is more than the standard has: NaN, Infinity, -Infinity, and
 * integers of any length. Folders of models and of data hold it. */
#ifndef SUMI_BASE_JSON_H
#define SUMI_BASE_JSON_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* As json_loadb without flags: NULL where the text is not JSON, and why. A number that is not finite reads as null,
 * an integer of more than 18 digits as a real. The caller owns the result; why may be NULL. */
json_t *json_from_python(const char *text, size_t length, json_error_t *why);

/* A field of an object. */
void json_set_int(json_t *j, const char *key, int value);
void json_set_real(json_t *j, const char *key, double value);
void json_set_flag(json_t *j, const char *key, bool value);
void json_set_text(json_t *j, const char *key, const char *value);

#endif
