/* fuzz.h - what the fuzz targets share. A target is a file fuzz_NAME.c with LLVMFuzzerTestOneInput, and a folder
 * seeds/NAME with small inputs to begin with. A target fails by crashing: `holds` is what must be true of any input. */
#ifndef SUMI_FUZZ_H
#define SUMI_FUZZ_H
#include "io/table.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void holds(bool condition)
{
	if (!condition) abort();
}

/* A failure has a status and one line. */
static inline void holds_message(const error *e) { holds(e->status != OK && e->text[0] && !strchr(e->text, '\n')); }

/* Reads the bytes as a file by one of the readers of io/table.h; every tensor that it promises must be readable. */
static inline void fuzz_reader(
    bool (*read)(weights *w, const mapping *m, const char *path, error *e), const uint8_t *data, size_t size)
{
	weights *w = calloc(1, sizeof *w);
	mapping m = { data, size };
	error e = { 0 };
	unsigned sum = 0;
	holds(w && (w->path = strdup("input")));
	bool fine = read(w, &m, w->path, &e);
	if (!fine) holds_message(&e);
	for (size_t i = 0; fine && i < weights_count(w); i++) {
		const weight *t = weights_at(w, i);
		holds(weights_find(w, t->name) == t && t->ndims <= WEIGHT_DIMS && t->data);
		holds(t->dtype == NO_DTYPE || dtype_bytes(t->dtype, weight_elements(t)) == t->bytes);
		if (t->bytes) sum += ((const uint8_t *)t->data)[0] + ((const uint8_t *)t->data)[t->bytes - 1];
	}
	weights_close(w);
	static volatile unsigned sink; /* what is read is used */
	sink = sum;
	(void)sink;
}

#endif
