/* packed.c - base 85, then inflate. */
#include "text/packed.h"
#include <stdlib.h>
#include <zlib.h>

static uint32_t digit(char c) { return (uint32_t)(c - '#' - (c > '?') - (c > '\\')); }

uint8_t *unpack(const packed *p, error *e)
{
	size_t groups = (p->deflated + 3) / 4;
	uint8_t *deflated = malloc(groups * 4), *raw = malloc(p->size + 1);
	uLongf size = p->size;
	if (!deflated || !raw) {
		fail(e, NO_MEMORY, "tokenizer table: no memory for %zu bytes", groups * 4 + p->size);
		goto failure;
	}
	for (size_t i = 0; i < groups; i++) {
		const char *from = &p->rows[i * 5 / PACKED_ROW][i * 5 % PACKED_ROW];
		uint32_t v = 0;
		for (int k = 0; k < 5; k++) v = v * 85 + digit(from[k]);
		for (int k = 0; k < 4; k++) deflated[i * 4 + (size_t)k] = (uint8_t)(v >> (24 - 8 * k));
	}
	if (uncompress(raw, &size, deflated, p->deflated) != Z_OK || size != p->size) {
		fail(e, NO_MEMORY, "tokenizer table: inflating to %zu bytes failed", p->size);
		goto failure;
	}
	raw[size] = 0;
	free(deflated);
	return raw;
failure:
	free(deflated);
	free(raw);
	return NULL;
}
