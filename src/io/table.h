/* table.h - what the readers of file formats build, and weights.c serves: a table of tensors, what keeps their data in
 * memory, and their metadata. */
#ifndef SUMI_IO_TABLE_H
#define SUMI_IO_TABLE_H
#include "base/file.h"
#include "io/weights.h"
#include <jansson.h>

struct weights {
	char *path;
	weight *list; /* name is owned, type_name and data are not */
	size_t count, capacity;
	uint32_t *buckets; /* of the hash table: index + 1, 0 where empty; a power of two, at most half full */
	size_t bucket_count;
	json_t *metadata; /* string → string, or NULL */
	mapping *files;
	size_t file_count;
	void **blocks; /* data that had to be copied: from malloc */
	size_t block_count;
};

/* The element types that files name. A block is the least number of elements that fills whole bytes; bytes is 0 where
 * the name is unknown. `name` of the result lives forever. */
typedef struct element_type {
	const char *name;
	size_t elements, bytes; /* of a block */
} element_type;
const element_type *element_type_named(const char *name, size_t length);

/* Copies t with its name into the table; fails where the name is there already. */
bool table_add(weights *w, const weight *t, const char *path, error *e);
/* The mapping or the block belongs to w from now on; where that fails it is freed. */
bool table_own_file(weights *w, mapping m, error *e);
bool table_own_block(weights *w, void *block, error *e);

/* Bytes of a tensor, false where a dimension is negative, the product overflows, or its elements are no whole blocks.
 */
bool tensor_bytes(int ndims, const int64_t *shape, const element_type *type, size_t *bytes);

/* The readers. Each adds what it finds in the mapped file to w; the mapping stays the caller's, which keeps it in w. */
bool looks_like_safetensors(const mapping *m);
bool read_safetensors(weights *w, const mapping *m, const char *path, error *e);
bool looks_like_gguf(const mapping *m);
bool read_gguf(weights *w, const mapping *m, const char *path, error *e);
bool looks_like_pickle(const mapping *m);
bool read_torch_zip(weights *w, const mapping *m, const char *path, error *e); /* recognised by zip.h */
bool read_torch_legacy(weights *w, const mapping *m, const char *path, error *e);

#endif
