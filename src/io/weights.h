/* weights.h - named tensors in files. Whatever the file's format, it is judged by its content:
 * - safetensors, one file;
 * - GGUF, one file, of ggml's programs: plain types and Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K … Q6_K;
 * - an index of shards (`*.safetensors.index.json`, `*.bin.index.json`), the shards in the same folder;
 * - PyTorch's zip and legacy formats (`.ckpt`, `.pt`, `.pth`, `.bin`), read without ever running what they hold.
 *
 *     weights *w = weights_open("model.safetensors", &e);
 *     const weight *t = weights_need(w, "first_stage_model.quant_conv.weight", &e);
 *     … t->shape, t->dtype, t->data …
 *     weights_close(w);
 *
 * Format: https://github.com/huggingface/safetensors#format */
#ifndef SUMI_IO_WEIGHTS_H
#define SUMI_IO_WEIGHTS_H
#include "base/error.h"
#include "tensor/dtype.h"

enum { WEIGHT_DIMS = 8 };

typedef struct weight {
	const char *name;           /* UTF-8 */
	dtype dtype;                /* NO_DTYPE: a type that Sumi does not compute with; weights_need refuses it */
	const char *type_name;      /* as the file spells it: "F32", "F8_E4M3", "Q4_K", … */
	int ndims;                  /* 0: a scalar, one element */
	int64_t shape[WEIGHT_DIMS]; /* ≥ 0, row-major; of GGUF, axes of length 1 at the front may be missing */
	const void *data;           /* in the mapped file, so at any address: NOT ALIGNED to the element; never NULL */
	size_t bytes;               /* dtype_bytes() of its elements, checked; a row need not be whole blocks */
} weight;

typedef struct weights weights;

/* NULL with BAD_FILE where the file is not a model or any part of it contradicts another. Everything is checked here:
 * a weight that can be found can be read. Data are mapped, not read. */
weights *weights_open(const char *path, error *e);
void weights_close(weights *w); /* and all that came from it; NULL is fine */

size_t weights_count(const weights *w);
const weight *weights_at(const weights *w, size_t i);           /* as the data lie; PyTorch: as the dictionary */
const weight *weights_find(const weights *w, const char *name); /* NULL where there is none */
/* The same, but fails where there is none or where its dtype is NO_DTYPE. */
const weight *weights_need(const weights *w, const char *name, error *e);
size_t weight_elements(const weight *t);
/* Fails with the first float tensor that holds NaN or infinity. It reads the whole file. */
bool weights_are_finite(const weights *w, error *e);

/* The strings of `__metadata__`, or of GGUF's metadata, in the file's order. NULL where there is no such key or index.
 */
const char *weights_metadata(const weights *w, const char *key);
const char *weights_metadata_at(const weights *w, size_t i, const char **key);
const char *weights_path(const weights *w); /* as given to weights_open */

/* Advises the system that these bytes, part of a weight or not of w at all, will not be read soon: they leave the
 * memory of the process. Reading them again is allowed and costs reading the file again. */
void weights_advise_unused(const weights *w, const void *data, size_t bytes);

/* ── writing safetensors, or GGUF where the path ends in ".gguf" ── */
bool is_gguf_path(const char *path);
bool gguf_number_of(dtype d, uint32_t *number); /* of a type in GGUF files; false: they do not have it */
/* All tensors and metadata are declared first, then the data follow in the same order, in pieces of any size. The file
 * appears under its name when finished (base/file.h). Data are little-endian, as everywhere here. */
typedef struct weights_writer weights_writer;

weights_writer *weights_writer_new(const char *path, error *e); /* touches the disk first when data come */
bool weights_writer_metadata(weights_writer *w, const char *key, const char *value, error *e);
/* The same with a value of at most 1023 bytes, as printf() writes it. */
__attribute__((format(printf, 4, 5))) bool weights_writer_say(
    weights_writer *w, error *e, const char *key, const char *format, ...);
bool weights_writer_declare(weights_writer *w, const char *name, dtype d, int ndims, const int64_t *shape, error *e);
bool weights_writer_append(weights_writer *w, const void *data, size_t bytes, error *e);
bool weights_writer_finish(weights_writer *w, error *e); /* frees w, also where it fails */
void weights_writer_abort(weights_writer *w);            /* frees w; nothing remains; NULL is fine */

#endif
