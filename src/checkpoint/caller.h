/* caller.h - what crosses the public interface: errors, structs that carry their size, listeners and cancelling. */
#ifndef SUMI_CHECKPOINT_CALLER_H
#define SUMI_CHECKPOINT_CALLER_H
#include "base/error.h"
#include <stdatomic.h>
#include <sumi.h>

/* The failure that the caller's error already holds, if any; `from` may be NULL. */
error error_of_caller(const sumi_error *from);
/* Copies a first failure into the caller's error; true if there was none. `to` may be NULL. */
bool tell_caller(sumi_error *to, const error *e);

/* ── structs that begin with their size ── */

/* A struct's init function: the first `size` bytes of the library's own defaults, and the size itself. */
void hand_out(void *to, size_t size, const void *defaults, size_t known);
/* Takes what a caller filled into `own`, which holds the defaults of `known` bytes: an older, smaller struct leaves the
 * rest as it is. BAD_USAGE where the size is no size of one, or bytes that are not known hold anything. given NULL: own
 * stays. */
bool adopt(void *own, size_t known, const void *given, const char *name, error *e);
bool adopt_options(sumi_options *own, const sumi_options *given, error *e);
bool adopt_listener(sumi_listener *own, const sumi_listener *given, error *e);
/* A picture that has pixels and a size; NULL is not one. `what` begins the message. */
bool adopt_image(sumi_image *own, const sumi_image *given, const char *what, error *e);

/* ── progress, notes and cancelling ── */

struct sumi_cancel {
	atomic_int asked;
};

typedef struct watcher {
	sumi_listener listener;
	const sumi_cancel *cancel; /* NULL: none */
} watcher;

/* The listener and cancel of these options. */
bool watcher_of(watcher *w, const sumi_options *o, error *e);
/* Calls the listener; false with STOPPED: it, or the cancel, requests a stop. w may be NULL, as in the next. */
bool watcher_progress(const watcher *w, const char *stage, int step, int steps, error *e);
void watcher_note(const watcher *w, sumi_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
