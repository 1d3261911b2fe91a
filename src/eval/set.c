/* set.c - reads metadata.jsonl. */
#include "eval/set.h"
#include "base/json.h"
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *field_of(const json_t *o, const char *name)
{
	const char *text = name ? json_string_value(json_object_get(o, name)) : NULL;
	return strdup(text ? text : "");
}

static bool append(example_set *s, example one, error *e)
{
	if ((s->count & (s->count - 1)) == 0) { /* full at each power of two */
		example *more = realloc(s->at, (s->count ? 2 * (size_t)s->count : 1) * sizeof *more);
		if (!more) return fail(e, NO_MEMORY, "out of memory for %d pictures' names", s->count);
		s->at = more;
	}
	s->at[s->count++] = one;
	return (one.path && one.text && one.group && one.variant) || fail(e, NO_MEMORY, "out of memory for names");
}

static bool read_line(
    example_set *s, const char *folder, const char *line, int number, const char *group, const char *variant, error *e)
{
	json_error_t why;
	char path[PATH_MAX];
	json_t *o = json_from_python(line, strlen(line), &why);
	const char *file = json_string_value(json_object_get(o, "file_name"));
	const char *text = json_string_value(json_object_get(o, "text"));
	bool fine = true;
	if (!o)
		fine = fail(e, BAD_FILE, "%s/metadata.jsonl: line %d: %s", folder, number, why.text);
	else if (!file || !*file || *file == '/' || strstr(file, "..") || !text)
		fine = fail(e, BAD_FILE, "%s/metadata.jsonl: line %d: a file_name in the folder and a text are expected",
		    folder, number);
	else if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, file) >= sizeof path)
		fine = fail(e, BAD_FILE, "%s/metadata.jsonl: line %d: the path is too long", folder, number);
	if (fine)
		fine = append(s,
		    (example){ .path = strdup(path),
		        .text = strdup(text),
		        .group = field_of(o, group),
		        .variant = field_of(o, variant),
		        .folder = s->folders },
		    e);
	json_decref(o);
	return fine;
}

bool example_set_read(example_set *s, const char *folder, const char *group, const char *variant, error *e)
{
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	int before = s->count;
	snprintf(path, sizeof path, "%s/metadata.jsonl", folder);
	FILE *f = fopen(path, "rb");
	if (!f) return fail(e, errno_status(), "%s: %s", path, strerror(errno));
	bool fine = true;
	for (int number = 1; fine && getline(&line, &room, f) > 0; number++)
		if (line[strspn(line, " \t\r\n")]) fine = read_line(s, folder, line, number, group, variant, e);
	free(line);
	fclose(f);
	s->folders++;
	return fine && (s->count > before || fail(e, BAD_FILE, "%s: no pictures", path));
}

void example_set_free(example_set *s)
{
	for (int i = 0; i < s->count; i++) {
		free(s->at[i].path);
		free(s->at[i].text);
		free(s->at[i].group);
		free(s->at[i].variant);
	}
	free(s->at);
	*s = (example_set){ 0 };
}
