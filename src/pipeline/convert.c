/* convert.c - sumi_convert: copies a model's tensors into another file, a piece at a time. */
#include "base/file.h"
#include "pipeline/checkpoint.h"
#include "pipeline/files.h"
#include "pipeline/types.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { PIECE = 1 << 16 }; /* elements converted at once */

typedef struct copy {
	weights_writer *out;
	dtype type; /* of float tensors; NO_DTYPE: as they are */
	float *values;
	const sumi_listener *listener;
	int done, all;
	error *e;
} copy;

static dtype copied_type(const copy *c, const weight *w)
{
	return c->type != NO_DTYPE && dtype_is_float(w->dtype) && w->dtype != F64 ? c->type : w->dtype;
}

static bool declare(copy *c, const char *key, const weight *w)
{
	if (w->dtype == NO_DTYPE)
		return fail(c->e, BAD_FILE, "'%s' has dtype %s, which cannot be copied", key, w->type_name);
	c->all++;
	return weights_writer_declare(c->out, key, copied_type(c, w), w->ndims, w->shape, c->e);
}

static bool heard(copy *c)
{
	c->done++;
	if (!c->listener || !c->listener->progress) return true;
	return !c->listener->progress(c->listener->context, "write", c->done, c->all) || fail(c->e, STOPPED, "stopped");
}

static bool copy_values(copy *c, const weight *w)
{
	dtype type = copied_type(c, w);
	const char *from = w->data;
	size_t n = weight_elements(w), size = dtype_size(w->dtype);
	if (type == w->dtype) return weights_writer_append(c->out, w->data, w->bytes, c->e) && heard(c);
	for (size_t i = 0; i < n; i += PIECE) {
		size_t some = n - i < PIECE ? n - i : PIECE;
		convert(c->values, type, from + i * size, w->dtype, some);
		if (!weights_writer_append(c->out, c->values, some * dtype_size(type), c->e)) return false;
	}
	return heard(c);
}

static bool to_single(copy *c, const checkpoint *from, const char *to)
{
	const char *key;
	char *config = family_to_json(checkpoint_family(from));
	if (!config) return fail(c->e, NO_MEMORY, "out of memory");
	c->out = weights_writer_new(to, c->e);
	bool fine = c->out && weights_writer_metadata(c->out, "format", "pt", c->e) &&
	            weights_writer_metadata(c->out, "sumi.config", config, c->e);
	const char *words = checkpoint_metadata(from, "sumi.vocabulary");
	if (fine && words) fine = weights_writer_metadata(c->out, "sumi.vocabulary", words, c->e);
	free(config);
	for (size_t i = 0; fine && i < checkpoint_count(from); i++) {
		const weight *w = checkpoint_at(from, i, &key);
		fine = declare(c, key, w);
	}
	for (size_t i = 0; fine && i < checkpoint_count(from); i++) {
		const weight *w = checkpoint_at(from, i, NULL);
		fine = copy_values(c, w);
		checkpoint_advise_unused(from, w->data, w->bytes);
	}
	if (fine) return weights_writer_finish(c->out, c->e);
	weights_writer_abort(c->out);
	return false;
}

bool file_convert(
    const char *from, const char *to, const char *type, const char *layout, const sumi_listener *listener, error *e)
{
	copy c = { .listener = listener, .e = e };
	bool folder = layout ? !strcasecmp(layout, "diffusers") : to[0] && to[strlen(to) - 1] == '/';
	if (layout && !folder && strcasecmp(layout, "single"))
		return fail(e, BAD_USAGE, "layout '%.40s' is neither single nor diffusers", layout);
	if (type && !type_from_name(type, &c.type, e)) return false;
	if (folder) return fail(e, BAD_USAGE, "%s: writing diffusers folders is not there yet", to);
	checkpoint *in = checkpoint_open(from, e);
	if (!in) return false;
	c.values = malloc(PIECE * sizeof *c.values);
	bool fine = c.values ? to_single(&c, in, to) : fail(e, NO_MEMORY, "out of memory");
	free(c.values);
	checkpoint_close(in);
	return fine;
}
