/* parameters.c - writes the text of parameters.h. */
#include "pipeline/parameters.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* JSON's quoting; bytes above ASCII stay, as A1111 reads them. */
static void append_quoted(parameters *p, const char *value)
{
	buffer_add(&p->text, "\"", 1);
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
		buffer_add_text(&p->text, code);
	}
	buffer_add(&p->text, "\"", 1);
}

/* What Python's str.strip() takes for space: bytes of it at `text`, 0 where there is none. */
static size_t space_at(const char *text)
{
	static const char *const wide[] = { "\xc2\x85", "\u00a0", "\u1680", "\u2028", "\u2029", "\u202f", "\u205f",
		"\u3000" };
	unsigned char c = (unsigned char)*text;
	if (c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31)) return 1;
	if (!strncmp(text, "\xe2\x80", 2) && (unsigned char)text[2] >= 0x80 && (unsigned char)text[2] <= 0x8a) return 3;
	for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
		if (!strncmp(text, wide[i], strlen(wide[i]))) return strlen(wide[i]);
	return 0;
}

static const char *skip_space(const char *text)
{
	while (space_at(text)) text += space_at(text);
	return text;
}

/* Would a reader take a line that begins so for something else than more of the prompt? */
static bool is_mark(const char *line) { return !strncmp(line, "Negative prompt:", 16) || !strncmp(line, "Steps:", 6); }

/* A prompt as it can stand in the text: lines that look like what follows the prompt are joined to the line before,
 * since tokenizers take every space for the same. Before the first line there is none: an empty bracket means nothing
 * to readers of prompts, and makes the line begin with something else. */
static void append_prompt(parameters *p, const char *text, bool first_line)
{
	if (first_line && is_mark(skip_space(text))) buffer_add_text(&p->text, "()");
	while (*text) {
		const char *space = text;
		while (*space && !space_at(space)) space++;
		buffer_add(&p->text, text, (size_t)(space - text));
		text = skip_space(space);
		if (memchr(space, '\n', (size_t)(text - space)) && is_mark(text))
			buffer_add_text(&p->text, " ");
		else
			buffer_add(&p->text, space, (size_t)(text - space));
	}
}

void parameters_begin(parameters *p, const char *prompt, const char *negative)
{
	append_prompt(p, prompt, true);
	if (negative && *negative) {
		buffer_add_text(&p->text, "\nNegative prompt: ");
		append_prompt(p, negative, false);
	}
	buffer_add_text(&p->text, "\n");
}

void parameters_text(parameters *p, const char *name, const char *value)
{
	if (p->listing) buffer_add_text(&p->text, ", ");
	p->listing = true;
	buffer_add_text(&p->text, name);
	buffer_add_text(&p->text, ": ");
	size_t n = strlen(value);
	bool plain = !strpbrk(value, ",:\n") && *value != '"' && !space_at(value) && (!n || value[n - 1] != ' ');
	if (!plain)
		append_quoted(p, value);
	else
		buffer_add(&p->text, value, n);
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
