/* prompt.c - prompts taken apart: LoRAs, branches, and what changes with the steps. */
#include "text/prompt.h"
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char *copy_of(const char *from, size_t length, error *e)
{
	char *text = malloc(length + 1);
	if (!text) return fail(e, NO_MEMORY, "out of memory for a prompt"), NULL;
	memcpy(text, from, length);
	text[length] = 0;
	return text;
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 128; }

/* A number that fills [from, end) apart from blanks around it. */
static bool is_number(const char *from, const char *end, double *value)
{
	char digits[32];
	while (from < end && is_space(*from)) from++;
	while (end > from && is_space(end[-1])) end--;
	size_t n = (size_t)(end - from);
	if (!n || n >= sizeof digits || strspn(from, "+-.0123456789") < n) return false;
	memcpy(digits, from, n);
	digits[n] = 0;
	char *stopped;
	*value = strtod(digits, &stopped);
	return !*stopped && stopped > digits;
}

/* ── <lora:…>, <lyco:…> ── */

/* The length of the mark that begins here; 0: none does. A1111 has had one list for both since its version 1.5. */
static size_t mark_at(const char *p) { return !strncasecmp(p, "<lora:", 6) || !strncasecmp(p, "<lyco:", 6) ? 6 : 0; }

/* Takes "name:weights" or "name" apart. */
static bool tell_lora(const char *from, const char *end, prompt_lora_fn *each, void *context, error *e)
{
	char *name = copy_of(from, (size_t)(end - from), e), *colon = name ? strchr(name, ':') : NULL;
	if (colon) *colon = 0;
	bool fine = name && each(context, name, colon ? colon + 1 : "", e);
	free(name);
	return fine;
}

char *prompt_without_loras(const char *prompt, prompt_lora_fn *each, void *context, error *e)
{
	char *out = copy_of(prompt, strlen(prompt), e);
	size_t n = 0;
	if (!out) return NULL;
	for (const char *p = prompt; *p;) {
		size_t mark = mark_at(p);
		const char *end = mark ? strpbrk(p + 1, "<>") : NULL;
		if (!end || *end != '>' || end == p + mark) {
			out[n++] = *p++;
			continue;
		}
		if (each && !tell_lora(p + mark, end, each, context, e)) {
			free(out);
			return NULL;
		}
		p = end + 1;
	}
	out[n] = 0;
	return out;
}

/* ── AND ── */

static const char *find_and(const char *text)
{
	for (const char *p = text; (p = strstr(p, "AND")); p += 3)
		if ((p == text || !is_word(p[-1])) && !is_word(p[3])) return p;
	return NULL;
}

/* Takes ":weight" off the end; not of a prompt that is alone, where it weighs against nothing: "keycap: 10". */
static bool read_branch(prompt_branch *b, const char *from, const char *end, bool alone, error *e)
{
	const char *colon = end;
	while (colon > from && colon[-1] != ':' && colon[-1] != ')' && colon[-1] != ']') colon--;
	b->weight = 1;
	if (!alone && colon > from && colon[-1] == ':' && is_number(colon, end, &b->weight)) end = colon - 1;
	b->text = copy_of(from, (size_t)(end - from), e);
	return b->text != NULL;
}

int prompt_branches(const char *prompt, prompt_branch *branches, int most, error *e)
{
	int count = 0;
	for (const char *from = prompt; from; count++) {
		const char *and = count + 1 < most ? find_and(from) : NULL;
		if (!read_branch(&branches[count], from, and? and : strchr(from, 0), !count && !and, e)) {
			while (count--) free(branches[count].text);
			return -1;
		}
		from = and? and+3 : NULL;
	}
	return count;
}

/* ── steps ── */

enum { DEEPEST = 32 }; /* what is nested deeper does not change */

typedef struct chooser {
	const char *text;
	size_t *partner; /* of each opening bracket, where it closes; 0: nowhere */
	int step, steps;
	char *out;
	size_t n;
} chooser;

/* Finds the partner of every bracket in one pass: those that are still open when an outer one closes have none. */
static bool find_partners(chooser *c, error *e)
{
	size_t length = strlen(c->text), depth = 0, open[2] = { 0, 0 };
	size_t *stack = malloc((length + 1) * sizeof *stack);
	c->partner = calloc(length + 1, sizeof *c->partner);
	if (!stack || !c->partner) {
		free(stack);
		return fail(e, NO_MEMORY, "out of memory for a prompt");
	}
	for (size_t i = 0; i < length; i++) {
		char x = c->text[i];
		if (x == '\\' && i + 1 < length) {
			i++;
		} else if (x == '(' || x == '[') {
			open[x == '[']++;
			stack[depth++] = i;
		} else if ((x == ')' || x == ']') && open[x == ']']) {
			char wanted = x == ']' ? '[' : '(', met;
			do {
				met = c->text[stack[--depth]];
				open[met == '[']--;
			} while (met != wanted);
			c->partner[stack[depth]] = i;
		}
	}
	free(stack);
	return true;
}

/* The parts of a bracket's inside between marks (':' or '|') that are not in a bracket of their own: how many there
 * are; the first MOST_PARTS beginnings and, behind the last of these, its end. */
enum { MOST_PARTS = 64 };

static int find_parts(const chooser *c, size_t first, size_t end, char mark, size_t *parts)
{
	int count = 1;
	parts[0] = first;
	for (size_t i = first; i < end; i++) {
		char x = c->text[i];
		if (x == '\\')
			i++;
		else if ((x == '(' || x == '[') && c->partner[i])
			i = c->partner[i];
		else if (x == mark && count < MOST_PARTS)
			parts[count++] = i + 1;
	}
	parts[count] = end + 1;
	return count;
}

/* Which stretch of a bracket's inside is there in this step; false: the bracket does not change with the steps. */
static bool choose(const chooser *c, size_t first, size_t end, size_t *from, size_t *to)
{
	size_t parts[MOST_PARTS + 1];
	double when;
	int k, count = find_parts(c, first, end, '|', parts);
	if (count > 1) {
		k = (c->step - 1) % count;
	} else {
		count = find_parts(c, first, end, ':', parts);
		if (count < 2 || count > 3 || !is_number(c->text + parts[count - 1], c->text + end, &when) || when < 0)
			return false;
		if (when < 1) when *= c->steps;
		bool after = c->step > (int)(when > c->steps ? c->steps : when);
		if (count == 2 && !after) {
			*from = *to = first;
			return true;
		}
		k = count == 2 ? 0 : after;
	}
	*from = parts[k];
	*to = parts[k + 1] - 1;
	return true;
}

static void write_chosen(chooser *c, size_t first, size_t end, int depth)
{
	for (size_t i = first; i < end; i++) {
		size_t from, to;
		if (c->text[i] == '[' && c->partner[i] && depth < DEEPEST && choose(c, i + 1, c->partner[i], &from, &to)) {
			write_chosen(c, from, to, depth + 1);
			i = c->partner[i];
			continue;
		}
		c->out[c->n++] = c->text[i];
		if (c->text[i] == '\\' && i + 1 < end) c->out[c->n++] = c->text[++i];
	}
}

char *prompt_at_step(const char *prompt, int step, int steps, error *e)
{
	chooser c = { .text = prompt, .step = step, .steps = steps };
	size_t length = strlen(prompt);
	c.out = copy_of(prompt, length, e);
	if (c.out && find_partners(&c, e)) {
		write_chosen(&c, 0, length, 0);
		c.out[c.n] = 0;
	} else {
		free(c.out);
		c.out = NULL;
	}
	free(c.partner);
	return c.out;
}
