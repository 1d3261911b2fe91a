/* types.c - names of types. */
#include "checkpoint/types.h"
#include <strings.h>

bool type_from_name(const char *name, dtype *type, error *e)
{
	static const dtype known[] = { F32, F16, BF16 };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!strcasecmp(name, dtype_name(known[i]))) {
			*type = known[i];
			return true;
		}
	return fail(e, BAD_USAGE, "type '%.40s' is not one of f32, f16, bf16", name);
}
