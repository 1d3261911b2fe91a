/* error.c - the one place that writes a failure's message. */
#include "base/error.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

bool fail(error *e, status s, const char *format, ...)
{
	if (!e || e->status != OK) return false;
	e->status = s;
	va_list list;
	va_start(list, format);
	vsnprintf(e->text, sizeof e->text, format, list);
	va_end(list);
	for (char *c = e->text; *c; c++)
		if ((unsigned char)*c < 32 || *c == 127) *c = '?';
	return false;
}

status errno_status(void) { return errno == ENOMEM ? NO_MEMORY : BAD_FILE; }
