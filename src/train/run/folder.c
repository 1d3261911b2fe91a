/* folder.c - paths, locks, and what is moved out of the way. */
#include "train/run/folder.h"
#include "base/file.h"
#include "base/lock.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ── paths ── */
bool path_next_to_output(const train_options *o, const char *end, char path[LONGEST_RUN_PATH], error *e)
{
	static const char known[] = ".safetensors";
	size_t n = strlen(o->output), m = strlen(known);
	bool named = n > m && !strcmp(o->output + n - m, known);
	int length = snprintf(path, LONGEST_RUN_PATH, "%.*s%s", (int)(named ? n - m : n), o->output, end);
	return length < LONGEST_RUN_PATH || fail(e, BAD_USAGE, "--output: a path of more than %d bytes", LONGEST_RUN_PATH);
}

bool run_folder(const train_options *o, char path[LONGEST_RUN_PATH], error *e)
{
	const char *given = o->job == TRAIN_CACHE ? o->output : o->output_dir;
	if (!*given) return path_next_to_output(o, ".training", path, e);
	int length = snprintf(path, LONGEST_RUN_PATH, "%s", given);
	for (; length > 1 && length < LONGEST_RUN_PATH && path[length - 1] == '/'; length--) path[length - 1] = 0;
	return length < LONGEST_RUN_PATH || fail(e, BAD_USAGE, "a path of more than %d bytes", LONGEST_RUN_PATH);
}

/* ── nothing that is read is written ── */
bool same_file(const char *a, const char *b)
{
	struct stat x, y;
	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void folder_of(const char *path, char folder[LONGEST_RUN_PATH])
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		snprintf(folder, LONGEST_RUN_PATH, ".");
	else
		snprintf(folder, LONGEST_RUN_PATH, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Is it one of the shards that an index lists? */
static bool is_shard(const char *output, const char *index)
{
	enum { MOST = 64 << 20 };
	char a[LONGEST_RUN_PATH], b[LONGEST_RUN_PATH], quoted[LONGEST_RUN_PATH];
	size_t n = strlen(index);
	if (n < 5 || strcmp(index + n - 5, ".json")) return false;
	folder_of(output, a);
	folder_of(index, b);
	const char *slash = strrchr(output, '/');
	snprintf(quoted, sizeof quoted, "\"%s\"", slash ? slash + 1 : output);
	char *text = same_file(a, b) ? whole_file(index, MOST, NULL, NULL) : NULL;
	bool listed = text && strstr(text, quoted);
	free(text);
	return listed;
}

/* Does a file that is there lie in this folder, or in one within it? */
static bool lies_within(const char *file, const char *folder)
{
	struct stat info;
	char *inner = realpath(file, NULL), *around = realpath(folder, NULL);
	size_t n = around ? strlen(around) : 0;
	bool within = inner && around && !stat(folder, &info) && S_ISDIR(info.st_mode) && !strncmp(inner, around, n) &&
	              inner[n] == '/';
	free(inner);
	free(around);
	return within;
}

static bool spares(const char *output, const char *input, const char *name, error *e)
{
	if (!*input || *input == '{') return true;
	if (same_file(output, input) || is_shard(output, input) ||
	    (!strstr(name, "data_dir") && lies_within(output, input)))
		return fail(
		    e, BAD_USAGE, "--output %s is what --%s reads: it would be overwritten; give another name", output, name);
	return true;
}

bool outputs_spare_inputs(const train_options *o, error *e)
{
	char folder[LONGEST_RUN_PATH], first[LONGEST_RUN_PATH];
	const char *comma = strchr(o->lpips, ',');
	snprintf(first, sizeof first, "%.*s", (int)(comma ? comma - o->lpips : (long)strlen(o->lpips)), o->lpips);
	if (!spares(o->output, o->model, "model", e) || !spares(o->output, o->vae, "vae", e) ||
	    !spares(o->output, o->vocabulary, "vocabulary", e) || !spares(o->output, o->model_config, "model_config", e) ||
	    !spares(o->output, first, "lpips", e) || !spares(o->output, comma ? comma + 1 : "", "lpips", e) ||
	    !spares(o->output, o->train_data_dir, "train_data_dir", e) ||
	    !spares(o->output, o->class_data_dir, "class_data_dir", e) || !run_folder(o, folder, e))
		return false;
	bool samples = same_file(folder, o->train_data_dir) || same_file(folder, o->class_data_dir);
	return !samples ||
	       fail(e, BAD_USAGE, "%s is the training set: the run would write among its pictures; give another folder",
	           folder);
}

/* ── one run at a time ── */
struct run_place {
	char folder[LONGEST_RUN_PATH];
	file_lock *locks[2]; /* of the folder; of the output where the folder is another's choice; NULL: none */
};

static void clean(const char *folder, const char *beginning)
{
	char path[LONGEST_RUN_PATH + 32];
	snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", beginning);
	remove_leftovers(path);
}

/* What runs that were killed left half written. */
static bool clean_up(const train_options *o, const char *folder, error *e)
{
	static const char *const names[] = { "checkpoint-", "sample-", "log.csv.", "cache-", "metadata.jsonl." };
	char cache[LONGEST_RUN_PATH], output[LONGEST_RUN_PATH];
	if (!path_next_to_output(o, ".cache", cache, e) || !path_next_to_output(o, ".", output, e)) return false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		clean(folder, names[i]);
		clean(cache, names[i]);
	}
	clean("", output);
	return true;
}

static file_lock *take_lock(const char *path, const char *what, error *e)
{
	error own = { 0 };
	file_lock *l = lock_take(path, what, &own);
	if (!l) fail(e, own.status, "%s%s", own.text, strstr(own.text, "in use") ? ": let it end, or write elsewhere" : "");
	return l;
}

run_place *run_place_take(const train_options *o, error *e)
{
	char path[LONGEST_RUN_PATH + 16], lock_path[LONGEST_RUN_PATH];
	run_place *p = calloc(1, sizeof *p);
	if (!p) return fail(e, NO_MEMORY, "no memory for a run"), NULL;
	bool apart = o->job != TRAIN_CACHE && *o->output_dir;
	bool fine = run_folder(o, p->folder, e) && path_next_to_output(o, ".lock", lock_path, e);
	snprintf(path, sizeof path, "%s/run.lock", p->folder);
	fine = fine && make_folders_of(path, e) && (p->locks[0] = take_lock(path, p->folder, e)) &&
	       (!apart || (make_folders_of(lock_path, e) && (p->locks[1] = take_lock(lock_path, o->output, e)))) &&
	       clean_up(o, p->folder, e);
	if (fine) return p;
	run_place_release(p);
	return NULL;
}

void run_place_release(run_place *p)
{
	if (!p) return;
	lock_release(p->locks[0]);
	lock_release(p->locks[1]);
	if (p->locks[0]) rmdir(p->folder); /* where nothing came to be in it */
	free(p);
}

/* ── what another run left ── */
bool checkpoint_step(const char *name, int64_t *step)
{
	int end = 0;
	long long number;
	if (sscanf(name, "checkpoint-%lld.safetensors%n", &number, &end) != 1 || !end || name[end]) return false;
	*step = number;
	return true;
}

typedef bool wanted_fn(const char *name, int64_t step);

static bool is_of_a_run(const char *name, int64_t step)
{
	static const char *const beginnings[] = { "sample-", "log.csv", "profile.txt", "events.out.tfevents." };
	int64_t own;
	(void)step;
	for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
		if (!strncmp(name, beginnings[i], strlen(beginnings[i]))) return true;
	return checkpoint_step(name, &own);
}

static bool is_from(const char *name, int64_t step)
{
	int64_t own;
	return checkpoint_step(name, &own) && own >= step;
}

static bool make_earlier(const char *folder, char moved[LONGEST_RUN_PATH], error *e)
{
	enum { MOST = 100000 };
	for (int i = 1; i < MOST; i++) {
		if (snprintf(moved, LONGEST_RUN_PATH, "%s/earlier-%d", folder, i) >= LONGEST_RUN_PATH) break;
		if (!mkdir(moved, 0777)) return true;
		if (errno != EEXIST) break;
	}
	return fail(e, errno_status(), "%s: %s", moved, strerror(errno));
}

static bool move_all(const char *folder, int64_t step, wanted_fn *wanted, char moved[LONGEST_RUN_PATH], error *e)
{
	DIR *d = opendir(folder);
	*moved = 0;
	if (!d) return errno == ENOENT || fail(e, errno_status(), "%s: %s", folder, strerror(errno));
	bool fine = true;
	for (struct dirent *entry; fine && (entry = readdir(d));) {
		char from[LONGEST_RUN_PATH + 300], to[LONGEST_RUN_PATH + 300];
		if (!wanted(entry->d_name, step)) continue;
		fine = *moved || make_earlier(folder, moved, e);
		snprintf(from, sizeof from, "%s/%s", folder, entry->d_name);
		snprintf(to, sizeof to, "%s/%s", moved, entry->d_name);
		if (fine && rename(from, to)) fine = fail(e, errno_status(), "%s: %s", to, strerror(errno));
	}
	closedir(d);
	return fine;
}

bool run_folder_set_aside(const char *folder, char moved[LONGEST_RUN_PATH], error *e)
{
	return move_all(folder, 0, is_of_a_run, moved, e);
}

bool run_folder_set_aside_from(const char *folder, int64_t step, char moved[LONGEST_RUN_PATH], error *e)
{
	return move_all(folder, step, is_from, moved, e);
}
