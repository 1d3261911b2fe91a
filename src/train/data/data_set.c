/* data_set.c - reads the names and captions of a folder of pictures. */
#include "train/data/data_set.h"
#include "base/json.h"
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { LONGEST_PATH = 4096, LONGEST_CAPTION = 1 << 20, DEEPEST_FOLDER = 32, MOST_REPEATS = 10000 };

typedef struct reader {
	data_set *set;
	log_fn *log;
	void *context;
	error *e;
} reader;

static void tell(const reader *r, const char *format, ...)
{
	char line[2 * LONGEST_PATH];
	va_list list;
	va_start(list, format);
	vsnprintf(line, sizeof line, format, list);
	va_end(list);
	if (r->log) r->log(r->context, line);
}

bool is_picture_name(const char *name)
{
	static const char *const endings[] = { ".png", ".jpg", ".jpeg", ".webp" };
	size_t n = strlen(name);
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		size_t m = strlen(endings[i]);
		if (n > m && !strcasecmp(name + n - m, endings[i])) return true;
	}
	return false;
}

bool is_utf8(const char *text, size_t length)
{
	const unsigned char *s = (const unsigned char *)text;
	for (size_t i = 0; i < length;) {
		int more = s[i] < 0x80                   ? 0
		           : s[i] >= 0xc2 && s[i] < 0xe0 ? 1
		           : s[i] >= 0xe0 && s[i] < 0xf0 ? 2
		           : s[i] >= 0xf0 && s[i] < 0xf5 ? 3
		                                         : -1;
		if (more < 0 || i + (size_t)more >= length + (more == 0)) return false;
		uint32_t c = more ? s[i] & (0x3fu >> more) : s[i];
		for (int k = 1; k <= more; k++) {
			if ((s[i + (size_t)k] & 0xc0) != 0x80) return false;
			c = c << 6 | (s[i + (size_t)k] & 0x3f);
		}
		if ((more == 2 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) || (more == 3 && (c < 0x10000 || c > 0x10ffff)))
			return false;
		i += (size_t)more + 1;
	}
	return true;
}

static void free_item(item *i)
{
	free(i->path);
	free(i->caption);
	for (int k = 0; k < i->keyword_count; k++) free(i->keywords[k]);
	free(i->keywords);
}

void data_set_free(data_set *s)
{
	for (int64_t i = 0; i < s->count; i++) free_item(&s->items[i]);
	free(s->items);
	*s = (data_set){ 0 };
}

/* Takes the item; frees it where it fails. */
static bool append(reader *r, item i)
{
	data_set *s = r->set;
	bool fine = i.path && i.caption;
	if (fine && s->count == s->capacity) {
		int64_t capacity = s->capacity ? 2 * s->capacity : 1024;
		item *items = realloc(s->items, (size_t)capacity * sizeof *items);
		if (items) s->items = items, s->capacity = capacity;
		fine = items != NULL;
	}
	if (!fine) {
		free_item(&i);
		return fail(r->e, NO_MEMORY, "out of memory for the names of %lld pictures", (long long)s->count + 1);
	}
	if (!*i.caption) s->uncaptioned++;
	s->items[s->count++] = i;
	return true;
}

/* The text of a caption file, without white space at its ends; NULL where there is none. */
static char *read_caption(const reader *r, const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f) return NULL;
	char *text = malloc(LONGEST_CAPTION + 1);
	size_t n = text ? fread(text, 1, LONGEST_CAPTION + 1, f) : 0;
	fclose(f);
	if (!text) return NULL;
	if (n > LONGEST_CAPTION || !is_utf8(text, n)) {
		tell(r,
		    n > LONGEST_CAPTION ? "%s: a caption of more than 1 MiB is left out"
		                        : "%s: not UTF-8, the caption is left out",
		    path);
		n = 0;
	}
	while (n && strchr(" \t\r\n", text[n - 1])) n--;
	text[n] = 0;
	size_t first = strspn(text, " \t\r\n");
	memmove(text, text + first, n + 1 - first);
	char *fitted = realloc(text, n + 1 - first);
	return fitted ? fitted : text;
}

static char *caption_beside(const reader *r, const char *picture, const char *token)
{
	char path[LONGEST_PATH + 16];
	static const char *const endings[] = { ".txt", ".caption" };
	int stem = (int)(strrchr(picture, '.') - picture);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, "%.*s%s", stem, picture, endings[i]);
		char *text = read_caption(r, path);
		if (text) return text;
	}
	return strdup(token);
}

/* "10_sks dog" → 10 and "sks dog" */
static int repeats_of(const char *folder, const char **token)
{
	const char *name = strrchr(folder, '/');
	char *end;
	long n = strtol(name ? name + 1 : folder, &end, 10);
	bool kohya = n > 0 && n <= MOST_REPEATS && *end == '_' && end[1];
	*token = kohya ? end + 1 : "";
	return kohya ? (int)n : 1;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static bool read_folder(reader *r, const char *folder, int depth)
{
	struct dirent **names;
	int n = scandir(folder, &names, NULL, by_name);
	if (n < 0) return fail(r->e, BAD_FILE, "%s: cannot be read as a folder: %s", folder, strerror(errno));
	const char *token;
	int repeats = repeats_of(folder, &token);
	bool fine = true;
	for (int i = 0; i < n; i++) {
		char path[LONGEST_PATH];
		struct stat info;
		const char *name = names[i]->d_name;
		int length = snprintf(path, sizeof path, "%s/%s", folder, name);
		if (fine && name[0] != '.' && length < LONGEST_PATH && !stat(path, &info)) {
			if (S_ISDIR(info.st_mode) && depth < DEEPEST_FOLDER)
				fine = read_folder(r, path, depth + 1);
			else if (S_ISREG(info.st_mode) && is_picture_name(name))
				for (int k = 0; fine && k < repeats; k++)
					fine = append(r, (item){ .path = strdup(path), .caption = caption_beside(r, path, token) });
		}
		free(names[i]);
	}
	free(names);
	return fine;
}

static bool add_keywords(item *i, const json_t *list)
{
	size_t n = json_array_size(list), k;
	json_t *word;
	if (!n) return true;
	if (!(i->keywords = calloc(n, sizeof *i->keywords))) return false;
	json_array_foreach(list, k, word)
	{
		if (!json_is_string(word) || !*json_string_value(word)) continue;
		if (!(i->keywords[i->keyword_count] = strdup(json_string_value(word)))) return false;
		i->keyword_count++;
	}
	return true;
}

static int json_side(const json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));
	return n > 0 && n < 65536 ? (int)n : 0;
}

static bool copy_item(reader *r, const item *from)
{
	item i = *from;
	i.path = strdup(from->path);
	i.caption = strdup(from->caption);
	i.keywords = NULL;
	i.keyword_count = 0;
	if (from->keyword_count && !(i.keywords = calloc((size_t)from->keyword_count, sizeof *i.keywords)))
		return fail(r->e, NO_MEMORY, "out of memory for the keywords of %s", from->path);
	for (int k = 0; k < from->keyword_count; k++)
		if ((i.keywords[k] = strdup(from->keywords[k]))) i.keyword_count++;
	return append(r, i);
}

static bool repeat_last(reader *r, json_int_t times)
{
	bool fine = true;
	for (json_int_t k = 1; fine && k < times; k++) {
		item from = r->set->items[r->set->count - 1]; /* the list may move */
		fine = copy_item(r, &from);
	}
	return fine;
}

static bool read_line(reader *r, const char *folder, const char *line, size_t length, int number)
{
	json_error_t why;
	json_t *o = json_from_python(line, length, &why);
	const char *file = json_string_value(json_object_get(o, "file_name")),
	           *text = json_string_value(json_object_get(o, "text"));
	json_int_t repeats = json_integer_value(json_object_get(o, "repeats"));
	bool fine = true;
	if (!file || !*file || strstr(file, "..") || file[0] == '/')
		tell(r, "%s/metadata.jsonl: line %d: %s; it is left out", folder, number,
		    o ? "no file_name, or one outside the folder" : why.text);
	else {
		char path[LONGEST_PATH];
		snprintf(path, sizeof path, "%s/%s", folder, file);
		item i = { .path = strdup(path), .caption = strdup(text ? text : "") };
		i.height = json_side(o, "height");
		i.width = i.height ? json_side(o, "width") : 0;
		if (json_is_true(json_object_get(o, "class")) && r->set->class_first < 0) r->set->class_first = r->set->count;
		bool keywords = add_keywords(&i, json_object_get(o, "keywords"));
		if (!keywords) fail(r->e, NO_MEMORY, "out of memory for the keywords of %s", path);
		fine = keywords && append(r, i) && repeat_last(r, repeats < MOST_REPEATS ? repeats : MOST_REPEATS);
	}
	json_decref(o);
	return fine;
}

static bool read_metadata(reader *r, const char *folder, FILE *f)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	bool fine = true;
	for (int number = 1; fine && (n = getline(&line, &room, f)) >= 0; number++)
		if (n > 1) fine = read_line(r, folder, line, (size_t)n, number);
	free(line);
	return fine;
}

bool data_set_read(data_set *s, const char *folder, log_fn *log, void *context, error *e)
{
	reader r = { s, log, context, e };
	char path[LONGEST_PATH];
	*s = (data_set){ .class_first = -1 };
	if (snprintf(path, sizeof path, "%s/metadata.jsonl", folder) >= LONGEST_PATH)
		return fail(e, BAD_USAGE, "the path of the training set has more than %d bytes", LONGEST_PATH);
	FILE *f = fopen(path, "rb");
	bool fine = f ? read_metadata(&r, folder, f) : read_folder(&r, folder, 0);
	if (f) fclose(f);
	if (fine && !s->count)
		fine = fail(e, BAD_FILE,
		    "%s: no pictures; expected .png, .jpg or .webp files, a metadata.jsonl, or .tar shards", folder);
	if (!fine) data_set_free(s);
	return fine;
}

/* ── DreamBooth ── */
bool data_set_add_class(data_set *s, const char *folder, log_fn *log, void *context, error *e)
{
	data_set class;
	if (!data_set_read(&class, folder, log, context, e)) return false;
	reader r = { s, log, context, e };
	int64_t own = s->count, each = own > class.count ? own : class.count;
	bool fine = true;
	for (int64_t i = own; fine && i < each; i++) {
		item from = s->items[i - own]; /* the list may move */
		fine = copy_item(&r, &from);
	}
	for (int64_t i = 0; fine && i < each; i++) fine = copy_item(&r, &class.items[i % class.count]);
	s->class_first = each;
	data_set_free(&class);
	if (!fine) data_set_free(s);
	return fine;
}

bool data_set_caption(data_set *s, int64_t first, int64_t last, const char *caption, error *e)
{
	for (int64_t i = first; *caption && i < last; i++) {
		if (*s->items[i].caption) continue;
		char *copy = strdup(caption);
		if (!copy) return fail(e, NO_MEMORY, "out of memory for captions");
		free(s->items[i].caption);
		s->items[i].caption = copy;
		s->uncaptioned--;
	}
	return true;
}
