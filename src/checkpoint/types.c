/* types.c - names of types. */
#include "checkpoint/types.h"
#include "backend/backend.h"
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

bool compute_type_from_name(const char *name, const backend *b, dtype *type, error *e)
{
	*type = b->device || cpu_has_bf16() ? BF16 : REAL;
	if (!name || !strcasecmp(name, "auto")) return true;
	*type = strcasecmp(name, "f32") ? BF16 : REAL;
	return *type == REAL || !strcasecmp(name, "bf16") ||
	       fail(e, BAD_USAGE, "type '%.40s' is not one to compute in: f32 or bf16", name);
}

dtype stored_type(dtype wanted, int ndims)
{
	return (wanted == F8_E4M3 || wanted == F8_E5M2) && ndims < 2 ? F16 : wanted;
}
