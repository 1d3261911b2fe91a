/* wildcards.c - see wildcards.h. */
#include "cli/wildcards.h"
#include "cli/options.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 (Steele et al. 2014). */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool counts(const char *line)
{
	line += strspn(line, " \t\r\n");
	return *line && *line != '#';
}

/* One of the lines that count, each as likely, in one pass: line n replaces the one before it with probability 1/n. */
static char *choose_line(const char *path, uint64_t *random)
{
	FILE *file = fopen(path, "r");
	char *line = NULL, *chosen = NULL;
	size_t room = 0;
	uint64_t n = 0;
	if (!file) {
		complain(3, "--wildcards: %.3000s: %s", path, strerror(errno));
		return NULL;
	}
	while (getline(&line, &room, file) >= 0) {
		if (!counts(line) || next_random(random) % ++n) continue;
		line[strcspn(line, "\r\n")] = 0;
		free(chosen);
		if (!(chosen = strdup(line + strspn(line, " \t")))) break;
	}
	free(line);
	fclose(file);
	if (!chosen && n)
		complain(4, "out of memory for the words of %.3000s", path);
	else if (!chosen)
		complain(3, "--wildcards: %.3000s: no line in it to choose", path);
	return chosen;
}

/* The first "__name__" of a text, whose name has letters, digits, "-", "_" and "/"; NULL: none. */
static const char *find_wildcard(const char *text, size_t *length)
{
	for (const char *at = strstr(text, "__"); at; at = strstr(at + 1, "__")) {
		const char *c = at + 2;
		while (isalnum((unsigned char)*c) || *c == '-' || *c == '/' || (*c == '_' && c[1] != '_')) c++;
		if (c == at + 2 || c[0] != '_' || c[1] != '_' || at[2] == '/') continue;
		*length = (size_t)(c + 2 - at);
		return at;
	}
	return NULL;
}

/* The prompt with its wildcards replaced, also those within what replaced one; the caller frees it. NULL: it failed,
 * and a message was printed: a file that is not there or empty, wildcards without end, or no memory. */
static char *wildcards_fill(const char *prompt, const char *folder, int64_t seed)
{
	enum { MOST = 1000 };
	uint64_t random = (uint64_t)seed;
	char *text = strdup(prompt);
	const char *at;
	size_t length;
	if (!text) complain(4, "out of memory for a prompt of %zu bytes", strlen(prompt));
	for (int n = 0; text && (at = find_wildcard(text, &length)); n++) {
		char path[4096];
		snprintf(path, sizeof path, "%s/%.*s.txt", folder, (int)length - 4, at + 2);
		char *words = n < MOST ? choose_line(path, &random) : NULL;
		if (n == MOST) complain(3, "--wildcards: %.80s leads to others without end", path);
		size_t head = (size_t)(at - text), room = words ? strlen(text) + strlen(words) + 1 : 0;
		char *more = words ? malloc(room) : NULL;
		if (more) snprintf(more, room, "%.*s%s%s", (int)head, text, words, at + length);
		if (words && !more) complain(4, "out of memory for a prompt of %zu bytes", room);
		free(words);
		free(text);
		text = more;
	}
	return text;
}

static bool keep(filled_texts *t, char *text)
{
	char **more = text ? realloc(t->list, sizeof *more * (size_t)(t->count + 1)) : NULL;
	if (!more) return free(text), false;
	t->list = more;
	t->list[t->count++] = text;
	return true;
}

bool wildcards_fill_options(sumi_options *o, const char *folder, filled_texts *texts)
{
	const char **prompts[] = { &o->prompt, &o->negative_prompt };
	for (uint64_t i = 0; folder && i < 2; i++) {
		if (!*prompts[i]) continue;
		if (!keep(texts, wildcards_fill(*prompts[i], folder, (int64_t)((uint64_t)o->seed + i * 1000003)))) return false;
		*prompts[i] = texts->list[texts->count - 1];
	}
	return true;
}

void filled_texts_free(filled_texts *t)
{
	for (int i = 0; i < t->count; i++) free(t->list[i]);
	free(t->list);
	*t = (filled_texts){ 0 };
}
