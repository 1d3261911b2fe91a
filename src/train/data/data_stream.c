/* data_stream.c - tars one after the other in an order drawn for each epoch, their samples through a shuffle buffer. */
#include "train/data/data_stream.h"
#include "base/json.h"
#include "base/file.h"
#include "io/tar.h"
#include "text/codepoints.h"
#include "train/data/data_sample.h"
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct shard {
	mapping file;
	int users; /* samples, and the stream while it reads */
};

struct stream {
	stream_options o;
	char **paths;
	bool *damaged; /* [count] reported */
	int64_t *order;
	int64_t count, next; /* tars, and the place in the order */
	int64_t epoch;
	int64_t found; /* samples of this epoch so far, of all ranks where samples are split */
	int64_t given; /* those of them that are this rank's */
	uint64_t damages, draws;

	int64_t reading; /* the tar that is open */
	shard *shard;    /* NULL: none is open */
	tar tar;
	stream_sample gathered; /* what was met so far of one key */
	char key[TAR_NAME];

	stream_sample *buffer;
	int waiting;
};

/* ── the list of tars ── */
static bool is_tar_name(const char *name)
{
	size_t n = strlen(name);
	return n > 4 && name[0] != '.' && !strcasecmp(name + n - 4, ".tar");
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }
static int only_tars(const struct dirent *d) { return is_tar_name(d->d_name); }

bool is_stream(const char *path)
{
	struct stat info;
	if (stat(path, &info)) return false;
	if (!S_ISDIR(info.st_mode)) return true;
	DIR *d = opendir(path);
	bool found = false;
	for (struct dirent *f; d && !found && (f = readdir(d));) found = is_tar_name(f->d_name);
	if (d) closedir(d);
	return found;
}

static bool list_tars(stream *s, error *e)
{
	struct stat info;
	struct dirent **names = NULL;
	bool folder = !stat(s->o.path, &info) && S_ISDIR(info.st_mode);
	int n = folder ? scandir(s->o.path, &names, only_tars, by_name) : 1;
	if (n < 0) return fail(e, errno_status(), "%s: cannot be read as a folder: %s", s->o.path, strerror(errno));
	s->paths = calloc((size_t)n + 1, sizeof *s->paths);
	s->damaged = calloc((size_t)n + 1, sizeof *s->damaged);
	s->order = calloc((size_t)n + 1, sizeof *s->order);
	bool fine = s->paths && s->damaged && s->order;
	for (int i = 0; i < n; i++) {
		if (fine && folder && asprintf(&s->paths[i], "%s/%s", s->o.path, names[i]->d_name) < 0) s->paths[i] = NULL;
		if (fine && !folder) s->paths[i] = strdup(s->o.path);
		fine = fine && s->paths[i];
		if (fine) s->count++;
		if (names) free(names[i]);
	}
	free(names);
	return fine || fail(e, NO_MEMORY, "out of memory for the names of %d tars", n);
}

/* ── samples ── */
static void leave_shard(shard *s)
{
	if (!s || --s->users > 0) return;
	unmap_file(&s->file);
	free(s);
}

void stream_sample_free(stream_sample *s)
{
	leave_shard(s->shard);
	free(s->name);
	*s = (stream_sample){ 0 };
}

const stream_sample *stream_spare(const stream *s, uint64_t which)
{
	return s->waiting ? &s->buffer[which % (uint64_t)s->waiting] : NULL;
}

uint64_t stream_damaged(const stream *s) { return s->damages; }

static void put_text(char *out, size_t room, const char *text, size_t n)
{
	while (n && strchr(" \t\r\n", text[n - 1])) n--;
	while (n && strchr(" \t\r\n", *text)) text++, n--;
	if (n >= room) {
		n = room - 1;
		while (n && ((unsigned char)text[n] & 0xc0) == 0x80) n--; /* not in the middle of a character */
	}
	memcpy(out, text, n);
	out[n] = 0;
}

bool stream_caption(const stream_sample *s, char *out, size_t room)
{
	*out = 0;
	if (s->text) {
		if (!is_utf8((const char *)s->text, s->text_bytes)) return false;
		put_text(out, room, (const char *)s->text, s->text_bytes);
	} else if (s->json) {
		json_t *j = json_from_python((const char *)s->json, s->json_bytes, NULL);
		const char *text = json_string_value(json_object_get(j, "caption"));
		if (text) put_text(out, room, text, strlen(text));
		bool fine = j != NULL; /* what is not UTF-8 is no JSON */
		json_decref(j);
		return fine;
	}
	return true;
}

/* ── from tars to samples ── */
static void report(const stream *s, const char *line)
{
	if (s->o.log) s->o.log(s->o.context, line);
}

static void close_shard(stream *s)
{
	leave_shard(s->shard);
	s->shard = NULL;
}

static void report_damage(stream *s, const error *e)
{
	if (s->damaged[s->reading]) return;
	s->damaged[s->reading] = true;
	s->damages++;
	report(s, e->text);
}

static bool splits_tars(const stream *s) { return s->count >= s->o.ranks; }

static void begin_epoch(stream *s, int64_t epoch)
{
	s->epoch = epoch;
	s->next = s->found = s->given = 0;
	for (int64_t i = 0; s->o.once && i < s->count; i++) s->order[i] = i;
	if (!s->o.once) shuffle(s->order, s->count, mix(s->o.seed, 0x74617273u), (uint64_t)epoch);
}

/* False: the epoch has no more, or a failure. */
static bool open_shard(stream *s, error *failure)
{
	int64_t step = splits_tars(s) ? s->o.ranks : 1, first = splits_tars(s) ? s->o.rank : 0;
	while (first + s->next * step < s->count) {
		error e = { 0 };
		s->reading = s->order[first + s->next++ * step];
		shard *opened = calloc(1, sizeof *opened);
		if (!opened) return fail(failure, NO_MEMORY, "no memory to read %s", s->paths[s->reading]);
		if (map_file(&opened->file, s->paths[s->reading], &e)) {
			opened->users = 1;
			s->shard = opened;
			s->tar = tar_of(opened->file.data, opened->file.size, s->paths[s->reading]);
			return true;
		}
		free(opened);
		report_damage(s, &e);
	}
	return false;
}

static void read_ahead(const uint8_t *first, size_t bytes)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)first / page * page;
	madvise((void *)from, (uintptr_t)first + bytes - from, MADV_WILLNEED);
}

/* Hands out what was gathered, where it is a sample and this rank's. */
static bool take_gathered(stream *s, stream_sample *out)
{
	bool whole = s->gathered.picture != NULL;
	bool ours = whole && (splits_tars(s) || s->found % s->o.ranks == s->o.rank);
	if (whole) s->found++;
	if (ours) {
		s->given++;
		*out = s->gathered;
		out->first_time = s->epoch == 0;
		s->gathered = (stream_sample){ 0 };
		read_ahead(out->picture, out->picture_bytes);
	} else {
		stream_sample_free(&s->gathered);
	}
	s->key[0] = 0;
	return ours;
}

/* "dir/000012.seg.jpg": the key ends at the first dot of the last part. */
static const char *extension_of(const char *name)
{
	const char *last = strrchr(name, '/'), *dot = strchr(last ? last : name, '.');
	return dot ? dot : name + strlen(name);
}

static bool gather(stream *s, const tar_file *f, const char *extension, error *e)
{
	stream_sample *g = &s->gathered;
	if (!g->shard) {
		g->shard = s->shard;
		s->shard->users++;
	}
	if (is_picture_name(f->name) && !g->picture) {
		if (asprintf(&g->name, "%s: %s", s->paths[s->reading], f->name) < 0) {
			g->name = NULL;
			return fail(e, NO_MEMORY, "no memory for the names of %s", s->paths[s->reading]);
		}
		g->picture = f->data;
		g->picture_bytes = f->size;
	} else if (!strcasecmp(extension, ".txt")) {
		g->text = f->data;
		g->text_bytes = f->size;
	} else if (!strcasecmp(extension, ".json")) {
		g->json = f->data;
		g->json_bytes = f->size;
	}
	return true;
}

/* The next file of the open tar; false at its end, where damage has been reported. */
static bool next_file(stream *s, tar_file *f)
{
	error e = { 0 };
	if (tar_next(&s->tar, f, &e)) return true;
	if (failed(&e)) {
		report_damage(s, &e);
		if (!s->gathered.text) stream_sample_free(&s->gathered); /* its caption may be what is cut off */
	}
	return false;
}

/* The next sample in the order of the tars; false: the epoch has no more, or a failure. */
static bool next_in_order(stream *s, stream_sample *out, error *e)
{
	while (s->shard || open_shard(s, e)) {
		tar_file f;
		if (!next_file(s, &f)) {
			bool taken = take_gathered(s, out);
			close_shard(s);
			if (taken) return true;
			continue;
		}
		const char *extension = extension_of(f.name);
		size_t length = (size_t)(extension - f.name);
		bool same = strlen(s->key) == length && !memcmp(s->key, f.name, length);
		bool taken = !same && take_gathered(s, out);
		memcpy(s->key, f.name, length);
		s->key[length] = 0;
		if (!gather(s, &f, extension, e)) {
			if (taken) stream_sample_free(out);
			return false;
		}
		if (taken) return true;
	}
	return false;
}

/* ── shuffling ── */
/* Two at least, so that one is left to stand in for another; more within an epoch. */
static bool fill_buffer(stream *s, error *e)
{
	while (s->waiting < s->o.buffer) {
		error own = { 0 };
		if (next_in_order(s, &s->buffer[s->waiting], &own)) {
			s->waiting++;
			continue;
		}
		if (failed(&own)) return fail(e, own.status, "%s", own.text);
		if (s->waiting >= 2) return true;
		if (!s->given)
			return fail(e, BAD_FILE, "%s: its %lld tars hold no picture for process %d of %d", s->o.path,
			    (long long)s->count, s->o.rank + 1, s->o.ranks);
		begin_epoch(s, s->epoch + 1);
	}
	return true;
}

bool stream_next(stream *s, stream_sample *out, error *e)
{
	if (s->o.once) return next_in_order(s, out, e);
	if (!fill_buffer(s, e)) return false;
	uint64_t state = mix(s->o.seed, s->draws++);
	int which = (int)draw_below(&state, (uint64_t)s->waiting);
	*out = s->buffer[which];
	s->buffer[which] = s->buffer[--s->waiting];
	return true;
}

stream *stream_open(const stream_options *o, error *e)
{
	stream *s = calloc(1, sizeof *s);
	if (!s) return fail(e, NO_MEMORY, "out of memory"), NULL;
	s->o = *o;
	if (s->o.buffer < 2) s->o.buffer = 2;
	s->buffer = calloc((size_t)s->o.buffer, sizeof *s->buffer);
	if (!s->buffer) fail(e, NO_MEMORY, "out of memory for %d samples", s->o.buffer);
	if (!s->buffer || !list_tars(s, e)) {
		stream_close(s);
		return NULL;
	}
	begin_epoch(s, 0);
	return s;
}

void stream_close(stream *s)
{
	if (!s) return;
	for (int i = 0; i < s->waiting; i++) stream_sample_free(&s->buffer[i]);
	stream_sample_free(&s->gathered);
	close_shard(s);
	for (int64_t i = 0; i < s->count; i++) free(s->paths[i]);
	free(s->paths);
	free(s->damaged);
	free(s->order);
	free(s->buffer);
	free(s);
}
