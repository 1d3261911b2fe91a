/* choose.c - a backend by the name that a user gives a device. */
#include "backend/backend.h"
#include "backend/cuda/cuda.h"
#include <stdlib.h>
#include <strings.h>

/* N of "cuda" or "cuda:N"; −1: it is neither. */
static int ordinal_of(const char *name)
{
	if (strncasecmp(name, "cuda", 4)) return -1;
	if (!name[4]) return 0;
	char *end;
	long n = name[4] == ':' && name[5] >= '0' && name[5] <= '9' ? strtol(name + 5, &end, 10) : -1;
	return n >= 0 && n < 1000 && !*end ? (int)n : -1;
}

const backend *backend_named(const char *name, error *e)
{
	if (!name || !strcasecmp(name, "cpu")) return backend_cpu();
	if (!strcasecmp(name, "auto")) {
		const backend *b = cuda_device_count() > 0 ? backend_cuda(0, NULL) : NULL;
		return b ? b : backend_cpu();
	}
	int ordinal = ordinal_of(name);
	if (ordinal >= 0) return backend_cuda(ordinal, e);
	fail(e, BAD_USAGE, "device '%.40s' is not one: auto, cpu, cuda or cuda:N", name);
	return NULL;
}
