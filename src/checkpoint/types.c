/* types.c - names of types. */
#include "checkpoint/types.h"
#include "backend/backend.h"
#include "base/text.h"
#include "io/weights.h"
#include <string.h>
#include <strings.h>

bool type_from_name(const char *name, dtype *type, error *e)
{
	static const dtype known[] = { F32, F16, BF16, F8_E4M3, F8_E5M2 };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcasecmp(name, dtype_name(known[i]))) {
			*type = known[i];
			return true;
		}
	return fail(e, BAD_USAGE, "type '%.40s' is not one of f32, f16, bf16, f8_e4m3, f8_e5m2", name);
}

/* What GGUF has in the place of a type that it lacks. */
static dtype type_of_gguf(dtype d)
{
	uint32_t number;
	if (gguf_number_of(d, &number)) return d;
	return dtype_is_float(d) ? F16 : d == U8 ? I16 : I8;
}

bool file_type_from_name(const char *name, bool gguf, dtype *type, error *e)
{
	static const dtype quantised[] = { Q8_0, Q5_1, Q5_0, Q4_1, Q4_0 };
	for (size_t i = 0; i < sizeof quantised / sizeof *quantised; i++)
		if (!strcasecmp(name, dtype_name(quantised[i]))) {
			*type = quantised[i];
			return gguf || fail(e, BAD_USAGE, "type %s is GGUF's: give the file a name that ends in .gguf", name);
		}
	for (dtype d = Q2_K; d <= Q6_K; d++)
		if (!strcasecmp(name, dtype_name(d)))
			return fail(e, BAD_USAGE, "type %s is read, and not written: q8_0, q5_1, q5_0, q4_1, q4_0 are", name);
	if (!type_from_name(name, type, e)) return false;
	return !gguf || type_of_gguf(*type) == *type ||
	       fail(e, BAD_USAGE, "type %s: GGUF has f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0", name);
}

bool compute_type_from_name(const char *name, const backend *b, dtype *type, error *e)
{
	*type = b->device || cpu_has_bf16() ? BF16 : REAL;
	if (!name || !strcasecmp(name, "auto")) return true;
	*type = strcasecmp(name, "f32") ? BF16 : REAL;
	return *type == REAL || !strcasecmp(name, "bf16") ||
	       fail(e, BAD_USAGE, "type '%.40s' is not one to compute in: f32 or bf16", name);
}

static bool is_sensitive(const char *name)
{
	static const char *const parts[] = { "x_embedder.", "t_embedder.", "y_embedder.", "context_embedder.", "pos_embed",
		"final_layer.", "time_embed.", "label_emb.", "embedding" };
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (strstr(name, parts[i])) return true;
	return ends_in(name, ".bias") || ends_in(name, ".scale");
}

dtype gguf_stored_type(dtype wanted, dtype from, const char *name, int ndims, const int64_t *axes)
{
	size_t row = ndims ? (size_t)axes[ndims - 1] : 1;
	dtype kept = row % dtype_block(from) ? F16 : type_of_gguf(from);
	if (wanted == NO_DTYPE || !dtype_is_float(from)) return kept;
	if (dtype_block(wanted) == 1) return type_of_gguf(wanted);
	if (ndims < 2 || is_sensitive(name)) return kept;
	if (row % dtype_block(wanted) == 0) return wanted;
	return kept == F32 ? F16 : kept;
}

dtype stored_type(dtype wanted, int ndims)
{
	return (wanted == F8_E4M3 || wanted == F8_E5M2) && ndims < 2 ? F16 : wanted;
}
