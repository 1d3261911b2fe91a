/* data_set.c - reads the names and captions of a folder of pictures. */
#include "train/data/data_set.h"
#include "base/json.h"
#include "text/codepoints.h"
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { LONGEST_PATH = 4096, LONGEST_CAPTION = 1 << 20, DEEPEST_FOLDER = 32, MOST_REPEATS = 1000000 };

typedef struct reader {
	data_set *set;
	const char *except;
	/* Which items were met, by their paths: a hash table of item numbers plus 1, of a power of 2 of places. */
	int64_t *table, places, used;
	log_fn *log;
	void *context;
	error *e;
} reader;

static void report(const reader *r, const char *format, ...)
{
	char line[2 * LONGEST_PATH];
	va_list list;
	va_start(list, format);
	vsnprintf(line, sizeof line, format, list);
	va_end(list);
	if (r->log) r->log(r->context, line);
}

static bool ends_in_one_of(const char *name, const char *const *endings)
{
	size_t n = strlen(name);
	for (; *endings; endings++) {
		size_t m = strlen(*endings);
		if (n > m && !strcasecmp(name + n - m, *endings)) return true;
	}
	return false;
}

const char *const picture_endings[] = { ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", NULL };

bool is_picture_name(const char *name) { return ends_in_one_of(name, picture_endings); }

static bool is_unread_picture(const char *name)
{
	static const char *const endings[] = { ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jxl", ".jp2", ".tga",
		".ppm", ".pgm", ".pnm", ".exr", ".hdr", ".psd", ".svg", ".ico", ".dng", ".cr2", ".nef", ".arw", NULL };
	return ends_in_one_of(name, endings);
}

void left_out_add(left_out *l, const char *name)
{
	enum { NAMED = 4 };
	size_t n = strlen(l->names);
	if (l->count++ < NAMED)
		snprintf(l->names + n, sizeof l->names - n, "%s%.60s", n ? ", " : "", name);
	else if (l->count == NAMED + 1)
		snprintf(l->names + n, sizeof l->names - n, ", …");
}

/* ── items ── */
static void free_item(data_item *i)
{
	if (i->repeat) return;
	free(i->path);
	free(i->caption);
	for (int k = 0; k < i->keyword_count; k++) free(i->keywords[k]);
	free(i->keywords);
}

void data_set_free(data_set *s)
{
	for (int64_t i = 0; i < s->count; i++) free_item(&s->items[i]);
	free(s->items);
	free(s->first);
	*s = (data_set){ 0 };
}

/* FNV-1a */
static uint64_t hash_of(const char *text)
{
	uint64_t h = 14695981039346656037u;
	for (; *text; text++) h = (h ^ (uint8_t)*text) * 1099511628211u;
	return h ^ h >> 29;
}

/* The item met before that has this path and, where it is not NULL, this caption; −1: none. */
static int64_t find_item(const reader *r, const char *path, const char *caption)
{
	for (uint64_t at = hash_of(path); r->places; at++) {
		int64_t i = r->table[at & (uint64_t)(r->places - 1)] - 1;
		if (i < 0) break;
		const data_item *found = &r->set->items[i];
		if (!strcmp(found->path, path) && (!caption || !strcmp(found->caption, caption))) return i;
	}
	return -1;
}

static void put_in_table(int64_t *table, int64_t places, const char *path, int64_t i)
{
	uint64_t at = hash_of(path);
	while (table[at & (uint64_t)(places - 1)]) at++;
	table[at & (uint64_t)(places - 1)] = i + 1;
}

static bool remember(reader *r, int64_t i)
{
	if (2 * r->used >= r->places) {
		int64_t places = r->places ? 4 * r->places : 1024, *table = calloc((size_t)places, sizeof *table);
		if (!table) return false;
		for (int64_t k = 0; k < r->places; k++)
			if (r->table[k]) put_in_table(table, places, r->set->items[r->table[k] - 1].path, r->table[k] - 1);
		free(r->table);
		r->table = table;
		r->places = places;
	}
	put_in_table(r->table, r->places, r->set->items[i].path, i);
	r->used++;
	return true;
}

/* Item i is the first of picture `number`, unless there is one. */
static bool number_picture(data_set *s, int64_t number, int64_t i)
{
	if (number >= s->picture_capacity) {
		int64_t capacity = 2 * number + 1024, *first = realloc(s->first, (size_t)capacity * sizeof *first);
		if (!first) return false;
		s->first = first;
		s->picture_capacity = capacity;
	}
	while (s->pictures <= number) s->first[s->pictures++] = -1;
	if (s->first[number] < 0) s->first[number] = i;
	return true;
}

static bool add_item(data_set *s, const data_item *i)
{
	if (s->count == s->capacity) {
		int64_t capacity = s->capacity ? 2 * s->capacity : 1024;
		data_item *items = realloc(s->items, (size_t)capacity * sizeof *items);
		if (!items) return false;
		s->items = items;
		s->capacity = capacity;
	}
	s->items[s->count] = *i;
	if (!number_picture(s, i->picture, s->count)) return false;
	s->count++;
	return true;
}

/* Takes the item; frees it where it fails. Its picture: −1: to be found. */
static bool append(reader *r, data_item i)
{
	data_set *s = r->set;
	bool fine = i.path && i.caption, found = i.picture >= 0;
	if (fine && !found) {
		int64_t same = find_item(r, i.path, i.caption);
		i.picture = same < 0 ? s->pictures : s->items[same].picture;
	}
	if (fine && add_item(s, &i)) {
		if (found || remember(r, s->count - 1)) return true;
		s->count--;
	}
	free_item(&i);
	return fail(r->e, NO_MEMORY, "out of memory for the names of %lld pictures", (long long)s->count + 1);
}

/* Item `which` again, so often. */
static bool repeat_item(reader *r, int64_t which, int64_t times)
{
	for (int64_t k = 0; k < times; k++) {
		data_item i = r->set->items[which];
		i.repeat = true;
		if (!add_item(r->set, &i))
			return fail(r->e, NO_MEMORY, "out of memory for the names of %lld pictures", (long long)r->set->count + 1);
	}
	return true;
}

static bool leave(reader *r, bool fine)
{
	free(r->table);
	if (!fine) data_set_free(r->set);
	return fine;
}

/* ── captions and folders ── */
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
		report(r,
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
	static const char *const endings[] = { ".txt", ".caption", ".TXT", ".CAPTION", ".Txt" };
	int stem = (int)(strrchr(picture, '.') - picture);
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		snprintf(path, sizeof path, "%.*s%s", stem, picture, endings[i]);
		char *text = read_caption(r, path);
		if (text) return text;
	}
	if (!is_utf8(token, strlen(token))) {
		report(r, "%s: its folder's name is not UTF-8, and no caption", picture);
		token = "";
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

/* Is it the folder of a training run, ours or another? Its samples are pictures too, and no training set. */
static bool is_run(const reader *r, const char *folder, const struct stat *info)
{
	struct stat except;
	static const char log_begins[] = "step,loss,smoothed,";
	char path[LONGEST_PATH + 16], line[32] = "";
	if (r->except && !stat(r->except, &except) && except.st_dev == info->st_dev && except.st_ino == info->st_ino)
		return true;
	snprintf(path, sizeof path, "%s/log.csv", folder);
	FILE *log = fopen(path, "r");
	if (!log) return false;
	bool ours = fgets(line, sizeof line, log) && !strncmp(line, log_begins, strlen(log_begins));
	fclose(log);
	return ours;
}

static bool read_picture(reader *r, const char *path, int repeats, const char *token)
{
	data_item i = { .path = strdup(path), .caption = caption_beside(r, path, token), .picture = -1 };
	return append(r, i) && repeat_item(r, r->set->count - 1, repeats - 1);
}

/* listed: the pictures were read from a list, and what is here and not on it is counted. */
static bool read_folder(reader *r, const char *folder, int depth, bool listed)
{
	struct dirent **names;
	int n = scandir(folder, &names, NULL, by_name);
	if (n < 0) return fail(r->e, errno_status(), "%s: cannot be read as a folder: %s", folder, strerror(errno));
	const char *token;
	int repeats = repeats_of(folder, &token);
	bool fine = true;
	for (int i = 0; i < n; i++) {
		char path[LONGEST_PATH];
		struct stat info;
		const char *name = names[i]->d_name;
		int length = snprintf(path, sizeof path, "%s/%s", folder, name);
		if (fine && name[0] != '.' && length < LONGEST_PATH && !stat(path, &info)) {
			if (S_ISDIR(info.st_mode) && is_run(r, path, &info))
				left_out_add(&r->set->runs, name);
			else if (S_ISDIR(info.st_mode) && depth < DEEPEST_FOLDER)
				fine = read_folder(r, path, depth + 1, listed);
			else if (S_ISREG(info.st_mode) && is_unread_picture(name))
				left_out_add(&r->set->unread, name);
			else if (S_ISREG(info.st_mode) && is_picture_name(name) && !listed)
				fine = read_picture(r, path, repeats, token);
			else if (S_ISREG(info.st_mode) && is_picture_name(name) && find_item(r, path, NULL) < 0)
				left_out_add(&r->set->unlisted, name);
		}
		free(names[i]);
	}
	free(names);
	return fine;
}

/* ── metadata.jsonl ── */
static bool add_keywords(data_item *i, const json_t *list)
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

static int pair_of(const json_t *o, const char *key, int i)
{
	json_int_t n = json_integer_value(json_array_get(json_object_get(o, key), (size_t)i));
	return n > 0 && n < 65536 ? (int)n : 0;
}

/* A cache says how its latents were cut; one that does not is of whole pictures. */
static picture_frame json_frame(const json_t *o, const data_item *i)
{
	picture_frame f = { pair_of(o, "original", 0), pair_of(o, "original", 1), pair_of(o, "crop", 0),
		pair_of(o, "crop", 1) };
	if (!f.height || !f.width) f = (picture_frame){ .height = i->height, .width = i->width };
	return f;
}

/* "cache-00003.safetensors/77": the number of a latent in a cache; −1: it is a picture. */
static int64_t latent_of(const char *file)
{
	int shard, end = 0;
	long long number;
	return sscanf(file, "cache-%5d.safetensors/%lld%n", &shard, &number, &end) == 2 && !file[end] && number >= 0 &&
	               number < INT32_MAX
	           ? number
	           : -1;
}

static bool read_line(reader *r, const char *folder, const char *line, size_t length, int number)
{
	json_error_t why;
	json_t *o = json_from_python(line, length, &why);
	const char *file = json_string_value(json_object_get(o, "file_name")),
	           *text = json_string_value(json_object_get(o, "text"));
	json_int_t repeats = json_integer_value(json_object_get(o, "repeats"));
	bool fine = true;
	while (file && !strncmp(file, "./", 2)) file += 2;
	bool named = file && *file && !strstr(file, "..") && file[0] != '/';
	char path[LONGEST_PATH];
	int n = named ? snprintf(path, sizeof path, "%s/%s", folder, file) : 0;
	if (!named || n >= LONGEST_PATH)
		report(r, "%s/metadata.jsonl: line %d: %s; it is left out", folder, number,
		    !o      ? why.text
		    : named ? "the path is too long"
		            : "no file_name, or one outside the folder");
	else {
		data_item i = { .path = strdup(path), .picture = latent_of(file) };
		i.caption = text || !strchr(file, '.') ? strdup(text ? text : "") : caption_beside(r, path, "");
		i.height = json_side(o, "height");
		i.width = i.height ? json_side(o, "width") : 0;
		i.frame = json_frame(o, &i);
		if (json_is_true(json_object_get(o, "class")) && r->set->class_first < 0) r->set->class_first = r->set->count;
		bool keywords = add_keywords(&i, json_object_get(o, "keywords"));
		if (!keywords) fail(r->e, NO_MEMORY, "out of memory for the keywords of %s", path);
		if (repeats > MOST_REPEATS)
			report(r, "%s/metadata.jsonl: line %d: repeats %lld, taken as %d", folder, number, (long long)repeats,
			    MOST_REPEATS);
		repeats = repeats > MOST_REPEATS ? MOST_REPEATS : repeats;
		fine = keywords && append(r, i) && repeat_item(r, r->set->count - 1, repeats - 1);
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
		if (line[strspn(line, " \t\r\n")]) fine = read_line(r, folder, line, (size_t)n, number);
	free(line);
	return fine;
}

static bool is_cached(const data_set *s) { return s->count && strstr(s->items[0].path, "/cache-0"); }

bool data_set_read(data_set *s, const char *folder, const char *except, log_fn *log, void *context, error *e)
{
	reader r = { .set = s, .except = except, .log = log, .context = context, .e = e };
	char path[LONGEST_PATH];
	*s = (data_set){ .class_first = -1 };
	if (snprintf(path, sizeof path, "%s/metadata.jsonl", folder) >= LONGEST_PATH)
		return fail(e, BAD_USAGE, "the path of the training set has more than %d bytes", LONGEST_PATH);
	FILE *f = fopen(path, "rb");
	bool fine = f ? read_metadata(&r, folder, f) : true;
	if (fine && !(f && is_cached(s))) fine = read_folder(&r, folder, 0, f != NULL);
	if (f) fclose(f);
	if (fine && !s->count)
		fine = fail(e, BAD_FILE,
		    "%s: no pictures; expected .png, .jpg, .webp or .bmp files, a metadata.jsonl, or .tar shards%s%s", folder,
		    s->unread.count ? "; not read: " : "", s->unread.names);
	return leave(&r, fine);
}

/* ── DreamBooth ── */
bool data_set_add_class(data_set *s, const char *folder, const char *except, log_fn *log, void *context, error *e)
{
	data_set class;
	if (!data_set_read(&class, folder, except, log, context, e)) {
		data_set_free(s);
		return false;
	}
	reader r = { .set = s, .e = e };
	int64_t own = s->count, before = s->pictures, each = own > class.count ? own : class.count;
	bool fine = true;
	for (int64_t i = own; fine && i < each; i++) fine = repeat_item(&r, i - own, 1);
	for (int64_t i = 0; i < class.count; i++) { /* each goes over to s, or is freed */
		class.items[i].picture += before;
		fine = fine && add_item(s, &class.items[i]);
		if (!fine) free_item(&class.items[i]);
	}
	if (!fine) fail(e, NO_MEMORY, "out of memory for the names of %lld pictures", (long long)(2 * each));
	class.count = 0;
	for (int64_t i = 0; fine && s->count < 2 * each; i++) fine = repeat_item(&r, each + i, 1);
	s->class_first = each;
	s->unread.count += class.unread.count;
	if (!*s->unread.names) memcpy(s->unread.names, class.unread.names, sizeof s->unread.names);
	data_set_free(&class);
	return leave(&r, fine);
}

bool data_set_caption(data_set *s, int64_t first, int64_t last, const char *caption, error *e)
{
	for (int64_t i = first; *caption && i < last; i++) {
		data_item *it = &s->items[i];
		if (it->repeat) it->caption = s->items[s->first[it->picture]].caption; /* what it had may be freed */
		if (it->repeat || *it->caption) continue;
		char *copy = strdup(caption);
		if (!copy) return fail(e, NO_MEMORY, "out of memory for captions");
		free(it->caption);
		it->caption = copy;
	}
	return true;
}
