/* caller.c - errors and structs cross the public interface; progress and notes go back over it. */
#include "checkpoint/caller.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

error error_of_caller(const sumi_error *from)
{
	error e = { 0 };
	if (!from || from->status == SUMI_OK) return e;
	e.status = (status)from->status;
	memcpy(e.text, from->text, sizeof e.text);
	return e;
}

bool tell_caller(sumi_error *to, const error *e)
{
	if (to && to->status == SUMI_OK && failed(e)) {
		to->status = (sumi_status)e->status;
		memcpy(to->text, e->text, sizeof to->text);
	}
	return !failed(e);
}

/* ── structs that begin with their size ── */

void hand_out(void *to, size_t size, const void *defaults, size_t known)
{
	if (!to || size < sizeof size) return;
	memset(to, 0, size);
	memcpy(to, defaults, size < known ? size : known);
	memcpy(to, &size, sizeof size);
}

bool adopt(void *own, size_t known, const void *given, const char *name, error *e)
{
	enum { MOST = 65536 }; /* more is no size, but what lay in the memory before */
	size_t size;
	if (!given) return true;
	memcpy(&size, given, sizeof size);
	if (size < 2 * sizeof size || size > MOST)
		return fail(
		    e, BAD_USAGE, "%s: its size is %zu bytes, which is that of none; begin with the defaults", name, size);
	for (size_t i = known; i < size; i++)
		if (((const char *)given)[i])
			return fail(e, BAD_USAGE, "%s: byte %zu is set, and this library (%s) has %zu bytes of it", name, i,
			    SUMI_VERSION, known);
	memcpy(own, given, size < known ? size : known);
	memcpy(own, &known, sizeof known);
	return true;
}

bool adopt_options(sumi_options *own, const sumi_options *given, error *e)
{
	*own = sumi_defaults();
	return adopt(own, sizeof *own, given, "sumi_options", e);
}

bool adopt_listener(sumi_listener *own, const sumi_listener *given, error *e)
{
	*own = sumi_listener_defaults();
	return adopt(own, sizeof *own, given, "sumi_listener", e);
}

bool adopt_image(sumi_image *own, const sumi_image *given, const char *what, error *e)
{
	*own = (sumi_image){ .size = sizeof *own, .seed = -1 };
	if (!given) return fail(e, BAD_USAGE, "%s: no picture", what);
	if (!adopt(own, sizeof *own, given, "sumi_image", e)) return false;
	if (own->width < 1 || own->height < 1 || own->width > 65535 || own->height > 65535)
		return fail(
		    e, BAD_USAGE, "%s: a picture of %d×%d; sides are between 1 and 65535", what, own->width, own->height);
	return own->pixels || fail(e, BAD_USAGE, "%s: a picture of %d×%d without pixels", what, own->width, own->height);
}

/* ── progress, notes and cancelling ── */

bool watcher_of(watcher *w, const sumi_options *given, error *e)
{
	sumi_options o;
	if (!adopt_options(&o, given, e)) return false;
	w->cancel = o.cancel;
	return adopt_listener(&w->listener, o.listener, e);
}

bool watcher_progress(const watcher *w, const char *stage, int step, int steps, error *e)
{
	if (!w) return true;
	const sumi_listener *l = &w->listener;
	bool stop = l->progress && l->progress(l->context, stage, step, steps);
	if (w->cancel && atomic_load(&w->cancel->asked)) stop = true;
	return !stop || fail(e, STOPPED, "stopped");
}

void watcher_note(const watcher *w, sumi_level level, const char *format, ...)
{
	char text[1024];
	va_list list;
	if (!w || !w->listener.note) return;
	va_start(list, format);
	vsnprintf(text, sizeof text, format, list);
	va_end(list);
	w->listener.note(w->listener.context, level, text);
}
