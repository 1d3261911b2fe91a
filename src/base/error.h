/* error.h - how Sumi fails: a status that is also the exit code, and a message that names the thing, what was
 * found and what was expected. The first failure sticks; later ones do not overwrite it. The library never
 * exits, aborts or prints. */
#ifndef SUMI_BASE_ERROR_H
#define SUMI_BASE_ERROR_H
#include <stdbool.h>

typedef enum status {
	OK = 0,
	BAD_USAGE = 2,  /* an argument of the caller's: option, size, name */
	BAD_FILE = 3,   /* a model, a picture or any other file */
	NO_MEMORY = 4,  /* would not fit, or could not be allocated */
	NOT_FINITE = 5, /* a number that is NaN or infinite where none may be */
	DEVICE_FAILED = 6, /* a GPU, its driver or one of its libraries */
	STOPPED = 130,  /* stopped by the caller's callback or a signal */
} status;

typedef struct error {
	status status;
	char text[1024]; /* one line, UTF-8, no newline at the end, control characters replaced */
} error;

/* Records a failure unless one is recorded already; returns false, so that `return fail(e, …)` reads well in a
 * function that returns bool. `e` may be NULL. */
bool fail(error *e, status s, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The status of a failed file operation, from errno: NO_MEMORY or BAD_FILE. */
status errno_status(void);
static inline bool failed(const error *e) { return e->status != OK; }

#endif
