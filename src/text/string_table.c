/* string_table.c - a hash table (FNV-1a, open addressing) over one growing run of bytes. */
#include "text/string_table.h"
#include <stdlib.h>
#include <string.h>

void string_table_free(string_table *t)
{
	free(t->bytes);
	free(t->start);
	free(t->slots);
	*t = (string_table){ 0 };
}

const char *string_table_get(const string_table *t, uint32_t number, size_t *length)
{
	*length = t->start[number + 1] - t->start[number];
	return t->bytes + t->start[number];
}

static uint32_t slot_of(const string_table *t, const char *at, size_t length)
{
	uint32_t hash = 2166136261u;
	for (size_t i = 0; i < length; i++) hash = (hash ^ (uint8_t)at[i]) * 16777619u;
	uint32_t slot = (hash ^ hash >> 15) & t->mask;
	for (; t->slots[slot]; slot = (slot + 1) & t->mask) {
		size_t n;
		const char *there = string_table_get(t, t->slots[slot] - 1, &n);
		if (n == length && !memcmp(there, at, n)) break;
	}
	return slot;
}

/* Doubles the number of strings that fit. */
static bool grow(string_table *t, error *e)
{
	if (t->capacity >= 1u << 30) return fail(e, NO_MEMORY, "more than %u strings", t->capacity);
	uint32_t capacity = t->capacity ? t->capacity * 2 : 256;
	size_t *start = realloc(t->start, (capacity + 1ul) * sizeof *start);
	if (start) t->start = start;
	uint32_t *slots = calloc(capacity * 2ul, sizeof *slots);
	if (!start || !slots) {
		free(slots);
		return fail(e, NO_MEMORY, "no memory for %u strings", capacity);
	}
	if (!t->capacity) t->start[0] = 0;
	free(t->slots);
	t->slots = slots;
	t->mask = capacity * 2 - 1;
	t->capacity = capacity;
	for (uint32_t i = 0; i < t->count; i++) {
		size_t n;
		const char *at = string_table_get(t, i, &n);
		t->slots[slot_of(t, at, n)] = i + 1;
	}
	return true;
}

uint32_t string_table_add(string_table *t, const char *at, size_t length, error *e)
{
	if (t->count == t->capacity && !grow(t, e)) return UINT32_MAX;
	uint32_t slot = slot_of(t, at, length);
	if (t->slots[slot]) return t->slots[slot] - 1;
	if (t->room - t->used < length) {
		size_t room = (t->used + length) * 2 + 256;
		char *bytes = realloc(t->bytes, room);
		if (!bytes) return fail(e, NO_MEMORY, "no memory for %zu bytes of strings", room), UINT32_MAX;
		t->bytes = bytes;
		t->room = room;
	}
	if (length) memcpy(t->bytes + t->used, at, length);
	t->used += length;
	t->slots[slot] = ++t->count;
	t->start[t->count] = t->used;
	return t->count - 1;
}

uint32_t string_table_find(const string_table *t, const char *at, size_t length)
{
	uint32_t found = t->count ? t->slots[slot_of(t, at, length)] : 0;
	return found ? found - 1 : UINT32_MAX;
}
