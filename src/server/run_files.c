/* run_files.c - reads what training runs left in their folder. */
#include "server/run_files.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_POINTS = 300, MOST_SAID = 8, MOST_SET_NAME = 200 }; /* files of a run have longer names than its set */

const char *const run_kinds[] = { "lora", "embedding", "controlnet", "diffusion", NULL };

bool run_is_kind(const char *kind)
{
	const char *const *k = run_kinds;
	while (*k && strcmp(*k, kind)) k++;
	return *k;
}

bool run_path(char path[RUN_PATH], const char *folder, const char *name, const char *ending, const char *more)
{
	return snprintf(path, RUN_PATH, "%s/%s%s%s", folder, name, ending, more) < RUN_PATH;
}

static bool ends_in(const char *name, const char *ending)
{
	size_t n = strlen(name), m = strlen(ending);
	return n > m && !strcasecmp(name + n - m, ending);
}

/* ── data sets ── */

static void count_files(const char *path, int *pictures, int *captions)
{
	static const char *const kinds[] = { ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp" };
	DIR *d = opendir(path);
	for (struct dirent *f; d && (f = readdir(d));) {
		for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) *pictures += ends_in(f->d_name, kinds[i]);
		*captions += ends_in(f->d_name, ".txt");
		if (!strcmp(f->d_name, "metadata.jsonl")) *captions = -1; /* as many as it says */
	}
	if (d) closedir(d);
}

static bool is_set(const char *folder, const char *name)
{
	char path[RUN_PATH];
	struct stat s;
	return *name != '.' && strlen(name) < MOST_SET_NAME && !ends_in(name, ".training") && !ends_in(name, ".cache") &&
	       run_path(path, folder, name, "", "") && !lstat(path, &s) && S_ISDIR(s.st_mode);
}

/* The options of a run: SET-KIND.json. */
static bool is_run(const char *folder, const char *name)
{
	char kind[32];
	const char *dash = strrchr(name, '-');
	(void)folder;
	if (!dash || dash == name || !ends_in(name, ".json")) return false;
	snprintf(kind, sizeof kind, "%.*s", (int)(strlen(dash + 1) - strlen(".json")), dash + 1);
	return run_is_kind(kind);
}

/* Names in the folder, sorted: NULL at the end. The caller frees all. */
static char **entries_in(const char *folder, bool wanted(const char *folder, const char *name))
{
	struct dirent **found;
	int n = scandir(folder, &found, NULL, alphasort), count = 0;
	char **names = calloc((size_t)(n > 0 ? n : 0) + 1, sizeof *names);
	for (int i = 0; i < n; i++) {
		if (names && wanted(folder, found[i]->d_name) && (names[count] = strdup(found[i]->d_name))) count++;
		free(found[i]);
	}
	if (n >= 0) free(found);
	return names;
}

static void free_entries(char **names)
{
	for (char **n = names; n && *n; n++) free(*n);
	free(names);
}

static bool has(char **names, const char *name)
{
	char **n = names;
	while (n && *n && strcmp(*n, name)) n++;
	return n && *n;
}

json_t *run_files_sets(const char *folder)
{
	json_t *list = json_array();
	char **names = entries_in(folder, is_set), path[RUN_PATH];
	for (char **n = names; n && *n; n++) {
		int pictures = 0, captions = 0;
		if (run_path(path, folder, *n, "", "")) count_files(path, &pictures, &captions);
		json_t *one = json_pack(
		    "{s:s, s:i, s:i}", "name", *n, "pictures", pictures, "captions", captions < 0 ? pictures : captions);
		if (one) json_array_append_new(list, one);
	}
	free_entries(names);
	return list;
}

bool run_files_has_set(const char *folder, const char *set)
{
	char **names = entries_in(folder, is_set);
	bool found = has(names, set);
	free_entries(names);
	return found;
}

/* ── the table of a run ── */

typedef struct point {
	long long step;
	double loss;
} point;

/* Of NAME.training/log.csv, whose columns are step, loss, smoothed, …; the caller frees. */
static point *read_curve(const char *folder, const char *name, size_t *count)
{
	char path[RUN_PATH], line[512];
	point *list = NULL;
	size_t room = 0;
	double loss;
	*count = 0;
	FILE *f = run_path(path, folder, name, ".training", "/log.csv") ? fopen(path, "re") : NULL;
	while (f && fgets(line, sizeof line, f)) {
		point p;
		if (sscanf(line, "%lld,%lf,%lf", &p.step, &loss, &p.loss) != 3) continue;
		if (*count == room) {
			point *more = realloc(list, (2 * room + 256) * sizeof *more);
			if (!more) break;
			list = more;
			room = 2 * room + 256;
		}
		list[(*count)++] = p;
	}
	if (f) fclose(f);
	return list;
}

static json_t *curve_of(const point *list, size_t count)
{
	json_t *curve = json_array();
	size_t every = count / MOST_POINTS + 1;
	for (size_t i = 0; i < count; i++)
		if (i % every == 0 || i + 1 == count)
			json_array_append_new(curve, json_pack("[I, f]", (json_int_t)list[i].step, list[i].loss));
	return curve;
}

/* ── its options ── */

static json_t *read_options(const char *folder, const char *name)
{
	char path[RUN_PATH];
	return run_path(path, folder, name, ".json", "") ? json_load_file(path, 0, NULL) : NULL;
}

static long long number(const json_t *options, const char *name, long long otherwise)
{
	const char *text = json_string_value(json_object_get(options, name));
	return text ? atoll(text) : otherwise;
}

/* {"name", "set", "kind", "step", "steps"}; *options, *curve and *count where they are wanted. NULL: no such run. */
static json_t *summary(const char *folder, const char *name, json_t **options, point **curve, size_t *count)
{
	json_t *o = read_options(folder, name);
	const char *dash = strrchr(name, '-');
	if (!json_is_object(o) || !dash) {
		json_decref(o);
		return NULL;
	}
	point *list = read_curve(folder, name, count);
	json_t *one = json_pack("{s:s, s:s%, s:s, s:I, s:I}", "name", name, "set", name, (size_t)(dash - name), "kind",
	    dash + 1, "step", (json_int_t)(*count ? list[*count - 1].step : 0), "steps",
	    (json_int_t)number(o, "max_train_steps", 1000));
	*options = o;
	*curve = list;
	return one;
}

json_t *run_files_list(const char *folder)
{
	json_t *list = json_array();
	char **names = entries_in(folder, is_run);
	for (char **n = names; n && *n; n++) {
		json_t *options = NULL;
		point *curve = NULL;
		size_t count = 0;
		*strrchr(*n, '.') = 0;
		json_t *one = summary(folder, *n, &options, &curve, &count);
		if (one) json_array_append_new(list, one);
		json_decref(options);
		free(curve);
	}
	free_entries(names);
	return list;
}

/* ── samples ── */

static int by_step(const void *a, const void *b)
{
	long long x = ((const point *)a)->step, y = ((const point *)b)->step;
	return (x > y) - (x < y);
}

/* sample-STEP.png of its folder, in order. */
static json_t *samples_of(const char *folder, const char *name)
{
	char path[RUN_PATH], file[64];
	json_t *list = json_array();
	point *steps = NULL;
	size_t count = 0;
	int end = 0;
	DIR *d = run_path(path, folder, name, ".training", "") ? opendir(path) : NULL;
	for (struct dirent *f; d && (f = readdir(d));) {
		point p = { 0 };
		if (sscanf(f->d_name, "sample-%lld.png%n", &p.step, &end) != 1 || f->d_name[end]) continue;
		point *more = realloc(steps, (count + 1) * sizeof *more);
		if (!more) break;
		steps = more;
		steps[count++] = p;
	}
	if (d) closedir(d);
	if (count) qsort(steps, count, sizeof *steps, by_step);
	for (size_t i = 0; i < count; i++) {
		snprintf(file, sizeof file, "sample-%lld.png", steps[i].step);
		json_array_append_new(list, json_pack("[I, s]", (json_int_t)steps[i].step, file));
	}
	free(steps);
	return list;
}

static bool is_listed(const json_t *samples, const char *file)
{
	for (size_t i = 0; i < json_array_size(samples); i++)
		if (!strcmp(json_string_value(json_array_get(json_array_get(samples, i), 1)), file)) return true;
	return false;
}

static bool run_exists(const char *folder, const char *name)
{
	char **names = entries_in(folder, is_run), file[RUN_NAME + 8];
	bool found = snprintf(file, sizeof file, "%s.json", name) < (int)sizeof file && has(names, file);
	free_entries(names);
	return found;
}

bool run_files_sample(const char *folder, const char *name, const char *file, buffer *bytes)
{
	char path[RUN_PATH];
	json_t *samples = run_exists(folder, name) ? samples_of(folder, name) : NULL;
	FILE *f = is_listed(samples, file) && run_path(path, folder, name, ".training/", file) ? fopen(path, "re") : NULL;
	json_decref(samples);
	if (!f) return false;
	buffer_add_file(bytes, f);
	fclose(f);
	return true;
}

/* ── what it said ── */

static json_t *last_lines(const char *folder, const char *name)
{
	char path[RUN_PATH], text[4097] = "";
	FILE *f = run_path(path, folder, name, ".log", "") ? fopen(path, "re") : NULL;
	if (!f) return json_string("");
	if (fseek(f, -(long)(sizeof text - 1), SEEK_END)) rewind(f);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	fclose(f);
	char *at = strchr(text, 0);
	for (int lines = 0; at > text; at--)
		if (at[-1] == '\n' && at[0] && ++lines == MOST_SAID) break;
	json_t *said = json_string(at);
	return said ? said : json_string("");
}

json_t *run_files_describe(const char *folder, const char *name)
{
	static const char *const own[] = { "train_data_dir", "conditioning_data_dir", "output", "model", "log_steps" };
	json_t *options = NULL;
	point *curve = NULL;
	size_t count = 0;
	json_t *one = run_exists(folder, name) ? summary(folder, name, &options, &curve, &count) : NULL;
	if (one) {
		const char *hints = json_string_value(json_object_get(options, "conditioning_data_dir"));
		const char *slash = hints ? strrchr(hints, '/') : NULL;
		json_object_set_new(one, "hints", json_string(slash ? slash + 1 : ""));
		for (size_t i = 0; i < sizeof own / sizeof *own; i++) json_object_del(options, own[i]);
		json_object_set(one, "options", options);
		json_object_set_new(one, "curve", curve_of(curve, count));
		json_object_set_new(one, "samples", samples_of(folder, name));
		json_object_set_new(one, "said", last_lines(folder, name));
	}
	json_decref(options);
	free(curve);
	return one;
}

/* ── where it stands ── */

bool run_files_done(const char *folder, const char *name)
{
	char options[RUN_PATH], result[RUN_PATH];
	struct stat asked, made;
	return run_path(options, folder, name, ".json", "") && run_path(result, folder, name, ".safetensors", "") &&
	       !stat(options, &asked) && !stat(result, &made) &&
	       (made.st_mtim.tv_sec > asked.st_mtim.tv_sec ||
	           (made.st_mtim.tv_sec == asked.st_mtim.tv_sec && made.st_mtim.tv_nsec > asked.st_mtim.tv_nsec));
}

bool run_files_resumable(const char *folder, const char *name, const json_t *options)
{
	char path[RUN_PATH];
	bool checkpoint = false;
	json_t *before = read_options(folder, name);
	bool same = json_equal(before, options) && !run_files_done(folder, name);
	json_decref(before);
	DIR *d = same && run_path(path, folder, name, ".training", "") ? opendir(path) : NULL;
	for (struct dirent *f; d && (f = readdir(d));)
		checkpoint |= !strncmp(f->d_name, "checkpoint-", 11) && ends_in(f->d_name, ".safetensors");
	if (d) closedir(d);
	return checkpoint;
}

bool run_files_write_options(const char *folder, const char *name, const json_t *options, sumi_error *e)
{
	char path[RUN_PATH], part[RUN_PATH];
	bool fine = run_path(path, folder, name, ".json", "") && run_path(part, folder, name, ".json", ".part");
	if (fine && !json_dump_file(options, part, JSON_INDENT(2)) && !rename(part, path)) return true;
	e->status = SUMI_BAD_FILE;
	snprintf(
	    e->text, sizeof e->text, "%.600s/%s.json: %s", folder, name, fine ? strerror(errno) : "the path is too long");
	return false;
}
