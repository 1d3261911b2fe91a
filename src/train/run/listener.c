/* listener.c - lines of a training for the user. */
#include "train/run/listener.h"
#include <stdarg.h>
#include <stdio.h>

void training_note(const training_listener *l, const char *format, ...)
{
	if (!l || !l->note) return;
	char line[1024];
	va_list list;
	va_start(list, format);
	vsnprintf(line, sizeof line, format, list);
	va_end(list);
	l->note(l->context, line);
}
