/* lapack.c - see lapack.h. */
#include "base/lapack.h"
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

static lapack found;
static bool there;

/* ISO C has no cast from an object's address to a function's. */
static bool read_symbol(void *library, const char *name, void *to)
{
	void *at = dlsym(library, name);
	memcpy(to, &at, sizeof at);
	return at != NULL;
}

static void load(void)
{
	static const char *const names[] = { "libopenblas.so.0", "liblapack.so.3", "libopenblas.so" };
	for (size_t i = 0; i < sizeof names / sizeof *names && !there; i++) {
		void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		if (!library) continue;
		there = read_symbol(library, "dsyrk_", &found.dsyrk) && read_symbol(library, "dgemm_", &found.dgemm) &&
		        read_symbol(library, "dsyevd_", &found.dsyevd);
		read_symbol(library, "openblas_set_num_threads", &found.set_threads);
		if (!there) dlclose(library);
	}
}

const lapack *lapack_load(error *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, load);
	if (!there) fail(e, BAD_USAGE, "no LAPACK is installed (libopenblas.so.0 or liblapack.so.3; Debian: libopenblas0)");
	return there ? &found : NULL;
}
