/* parameters.c - writes the text of parameters.h. */
#include "pipeline/parameters.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append(parameters *p, const char *text, size_t n)
{
	if (p->full) return;
	if (p->length + n + 1 > p->room) {
		size_t room = 2 * (p->length + n + 1);
		char *more = realloc(p->text, room);
		if (!more) {
			p->full = true;
			return;
		}
		p->text = more;
		p->room = room;
	}
	memcpy(p->text + p->length, text, n);
	p->length += n;
	p->text[p->length] = 0;
}

static void append_all(parameters *p, const char *text) { append(p, text, strlen(text)); }

/* JSON's quoting; bytes above ASCII stay, as A1111 reads them. */
static void append_quoted(parameters *p, const char *value)
{
	append(p, "\"", 1);
	for (; *value; value++) {
		char code[8];
		if (*value == '"' || *value == '\\')
			snprintf(code, sizeof code, "\\%c", *value);
		else if (*value == '\n')
			snprintf(code, sizeof code, "\\n");
		else if ((unsigned char)*value < 32)
			snprintf(code, sizeof code, "\\u%04x", (unsigned)*value);
		else
			snprintf(code, sizeof code, "%c", *value);
		append_all(p, code);
	}
	append(p, "\"", 1);
}

void parameters_begin(parameters *p, const char *prompt, const char *negative)
{
	append_all(p, prompt);
	if (negative && *negative) {
		append_all(p, "\nNegative prompt: ");
		append_all(p, negative);
	}
	append_all(p, "\n");
}

void parameters_text(parameters *p, const char *name, const char *value)
{
	if (p->listing) append_all(p, ", ");
	p->listing = true;
	append_all(p, name);
	append_all(p, ": ");
	if (strpbrk(value, ",:\n"))
		append_quoted(p, value);
	else
		append_all(p, value);
}

void parameters_number(parameters *p, const char *name, double value)
{
	char text[40];
	snprintf(text, sizeof text, "%.10g", value);
	parameters_text(p, name, text);
}

void parameters_integer(parameters *p, const char *name, long long value)
{
	char text[40];
	snprintf(text, sizeof text, "%lld", value);
	parameters_text(p, name, text);
}
