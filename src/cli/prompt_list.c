/* prompt_list.c - see prompt_list.h. */
#include "cli/prompt_list.h"
#include "cli/options.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *whole_file(const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	char *text = NULL;
	size_t room = 0;
	if (!file) return complain(3, "--prompts: %s: %s", path, strerror(errno)), NULL;
	ssize_t n = getdelim(&text, &room, 0, file);
	bool fine = n >= 0 || (feof(file) && !ferror(file));
	if (n < 0 && text) *text = 0;
	if (file != stdin) fclose(file);
	if (fine && text) return text;
	free(text);
	return complain(3, "--prompts: %s: could not be read", path), NULL;
}

int prompt_list_read(prompt_list *p, const char *path)
{
	if (!(p->text = whole_file(path))) return 3;
	int room = 1;
	for (const char *c = p->text; *c; c++) room += *c == '\n';
	p->lines = calloc((size_t)room, sizeof *p->lines);
	if (!p->lines) return complain(4, "out of memory for %d prompts", room);
	for (char *line = p->text, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next) *next++ = 0;
		line[strcspn(line, "\r")] = 0;
		line += strspn(line, " \t");
		if (*line) p->lines[p->count++] = line;
	}
	return p->count ? 0 : complain(3, "--prompts: %s: there is no prompt in it", path);
}

void prompt_list_free(prompt_list *p)
{
	free(p->lines);
	free(p->text);
	*p = (prompt_list){ 0 };
}

/* A value as it would be typed. It is written into the line's own memory, where JSON had at least as many bytes. */
static char *typed(const json_t *value, char *to, size_t room)
{
	if (json_is_string(value))
		snprintf(to, room, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(to, room, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		snprintf(to, room, "%.10g", json_real_value(value));
	else if (json_is_boolean(value))
		snprintf(to, room, "%s", json_is_true(value) ? "true" : "false");
	else
		return NULL;
	return to;
}

int prompt_list_options(
    prompt_list *p, int i, int (*set)(void *context, const char *name, const char *value), void *context)
{
	char *line = p->lines[i];
	if (*line != '{') return set(context, "prompt", line);
	json_error_t why;
	size_t room = strlen(line) + 1, used = 0;
	json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, &why), *value;
	const char *key;
	int code = object ? 0 : complain(3, "--prompts: line %d: not JSON: %s", i + 1, why.text);
	json_object_foreach(object, key, value)
	{
		char name[64], *text = code ? NULL : typed(value, line + used, room - used);
		if (code) break;
		snprintf(name, sizeof name, "%s", key);
		for (char *c = name; *c; c++)
			if (*c == '_') *c = '-';
		if (text) used += strlen(text) + 1;
		code = text ? set(context, name, text)
		            : complain(3, "--prompts: line %d: \"%.40s\" is no text or number", i + 1, key);
	}
	json_decref(object);
	return code;
}

void process_share(int *rank, int *count)
{
	static const char *const names[][2] = { { "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE" },
		{ "PMI_RANK", "PMI_SIZE" }, { "SLURM_PROCID", "SLURM_NTASKS" } };
	*rank = 0, *count = 1;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *r = getenv(names[i][0]), *n = getenv(names[i][1]);
		if (!r || !n || atoi(n) < 2 || atoi(r) < 0 || atoi(r) >= atoi(n)) continue;
		*rank = atoi(r), *count = atoi(n);
		return;
	}
}
