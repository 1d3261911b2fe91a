/* string_table.h - strings of bytes, each stored once and numbered from 0 in the order in which they came. */
#ifndef SUMI_TEXT_STRING_TABLE_H
#define SUMI_TEXT_STRING_TABLE_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct string_table {
	char *bytes;
	size_t used, room;
	size_t *start; /* of each string in bytes; [count] is used */
	uint32_t count, capacity;
	uint32_t *slots, mask; /* a hash table of number + 1 */
} string_table;            /* {0} is an empty table */

void string_table_free(string_table *t);
/* The number of the string, which is added where it is new. UINT32_MAX: no memory. */
uint32_t string_table_add(string_table *t, const char *at, size_t length, error *e);
/* The number of the string, UINT32_MAX where the table lacks it. */
uint32_t string_table_find(const string_table *t, const char *at, size_t length);
/* The bytes of a string; they move when the table grows. */
const char *string_table_get(const string_table *t, uint32_t number, size_t *length);

#endif
