/* pickle.h - reads what torch.save() pickles, and runs nothing of it: a pickle is a program for a small stack machine,
 * which may call any function of Python by its name. This machine builds numbers, strings, lists, dictionaries and
 * tensors; it knows the few names that PyTorch itself writes (pickle_globals.c), and refuses every other name and every
 * other opcode, by name.
 *
 * Format: Python's Lib/pickletools.py (protocols 2 to 5); PyTorch's torch/_utils.py and torch/serialization.py. */
#ifndef SUMI_IO_PICKLE_H
#define SUMI_IO_PICKLE_H
#include "base/error.h"
#include "io/weights.h"
#include <stddef.h>

typedef enum value_kind {
	NONE_VALUE,
	INTEGER_VALUE, /* and bool */
	REAL_VALUE,
	TEXT_VALUE,
	BYTES_VALUE,
	LIST_VALUE,
	TUPLE_VALUE,
	DICT_VALUE, /* items: key, value, key, value, … in the order of insertion; a key may be there twice */
	GLOBAL_VALUE,
	STORAGE_VALUE,
	TENSOR_VALUE,
	OPAQUE_VALUE, /* something that no tensor needs: a training framework's settings */
} value_kind;

typedef struct global global;
typedef struct value value;

typedef struct pickled_storage {
	const char *type_name; /* as safetensors spells it */
	int64_t count;         /* elements that it says it has; ≥ 0 */
	const value *key;      /* TEXT_VALUE: which of the file's storages */
} pickled_storage;

typedef struct pickled_tensor {
	const value *storage; /* STORAGE_VALUE */
	int64_t offset;       /* elements; ≥ 0 */
	int ndims;
	int64_t shape[WEIGHT_DIMS], stride[WEIGHT_DIMS]; /* elements; ≥ 0 */
} pickled_tensor;

struct value {
	value_kind kind;
	union {
		int64_t integer;
		double real;
		struct { /* TEXT, BYTES: in the pickle, NOT terminated */
			const char *text;
			size_t length;
		};
		struct { /* LIST, TUPLE, DICT */
			value **items;
			size_t count, room;
		};
		const global *global;
		pickled_storage *storage;
		pickled_tensor *tensor;
	};
};

typedef struct pickle pickle;

/* Reads one pickle, which begins at `data` and has at most `size` bytes; *used of them, if it is not NULL. NULL with
 * BAD_FILE where it is damaged, or asks for something that is not done; `path` is for the message. What the values
 * point to lies in data. */
pickle *pickle_read(const uint8_t *data, size_t size, size_t *used, const char *path, error *e);
void pickle_free(pickle *p); /* NULL is fine */
const value *pickle_root(const pickle *p);
/* Every storage that was named, in order, also those that no tensor of the root reads; a key may come again. */
size_t pickle_storage_count(const pickle *p);
const pickled_storage *pickle_storage_at(const pickle *p, size_t i);

bool value_is_text(const value *v, const char *text);
/* The last value under a key of text in a DICT_VALUE; NULL where there is none, or where it is no dictionary. */
const value *value_of_key(const value *dict, const char *key);

/* ── between pickle.c and pickle_globals.c ── */
value *pickle_value(pickle *p, value_kind kind);           /* NULL: failed */
bool pickle_append(pickle *p, value *container, value *v); /* to LIST, TUPLE or DICT */
bool pickle_refuse(pickle *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The global of this name; refuses what is not in the table. */
const global *pickle_find_global(pickle *p, const char *module, size_t m, const char *name, size_t n);
value *pickle_call(pickle *p, const value *function, value *arguments);
value *pickle_storage(pickle *p, const value *id); /* what a persistent id of PyTorch's stands for */

#endif
