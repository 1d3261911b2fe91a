/* file.c - mapping, reading, and writing through a temporary file that is renamed. */
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 1 << 16 };

struct writer {
	int fd;
	char *path, *temporary;
	size_t made;                /* folders of the path were made from its first so many bytes on; 0: none */
	uint64_t expected, written; /* bytes */
	size_t waiting;             /* in buffer */
	uint8_t buffer[BUFFER];
};

static bool fail_errno(error *e, const char *path, const char *what)
{
	if (errno == ENOENT) return fail(e, BAD_FILE, "%s: no such file or folder", path);
	return fail(e, errno_status(), "%s: cannot %s: %s", path, what, strerror(errno));
}

static const char *kind_of(mode_t mode)
{
	if (S_ISDIR(mode)) return "a folder";
	if (S_ISFIFO(mode)) return "a pipe";
	if (S_ISSOCK(mode)) return "a socket";
	return S_ISREG(mode) ? "a regular file" : "a device";
}

/* ── reading ── */

bool map_file(mapping *m, const char *path, error *e)
{
	*m = (mapping){ 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hold us up: it is refused below */
	if (fd < 0) return fail_errno(e, path, "open");
	struct stat st;
	bool ok = !fstat(fd, &st) || fail_errno(e, path, "stat");
	if (ok && !S_ISREG(st.st_mode)) ok = fail(e, BAD_FILE, "%s: is %s, expected a file", path, kind_of(st.st_mode));
	if (ok && !st.st_size) ok = fail(e, BAD_FILE, "%s: is empty", path);
	if (ok) {
		void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (data == MAP_FAILED)
			ok = fail_errno(e, path, "map");
		else
			*m = (mapping){ data, (size_t)st.st_size };
	}
	close(fd);
	return ok;
}

void unmap_file(mapping *m)
{
	if (m->data) munmap((void *)m->data, m->size);
	*m = (mapping){ 0 };
}

/* Doubles the buffer as it fills: st_size is no use for pipes and for /proc. */
static char *read_all(int fd, const char *path, size_t limit, size_t *size, error *e)
{
	size_t capacity = 4096, n = 0;
	char *text = malloc(capacity + 1);
	for (;;) {
		if (!text) {
			fail(e, NO_MEMORY, "%s: no memory for %zu bytes", path, capacity);
			return NULL;
		}
		ssize_t got = read(fd, text + n, capacity - n);
		if (got < 0 && errno == EINTR) continue;
		if (got < 0)
			fail_errno(e, path, "read");
		else if ((n += (size_t)got) > limit)
			fail(e, BAD_FILE, "%s: has more than %zu bytes, too many for what it should be", path, limit);
		else if (!got) {
			text[n] = 0;
			*size = n;
			return text;
		} else {
			if (n < capacity) continue;
			char *more = realloc(text, 2 * capacity + 1);
			if (!more) free(text);
			text = more;
			capacity *= 2;
			continue;
		}
		free(text);
		return NULL;
	}
}

char *whole_file(const char *path, size_t limit, size_t *size, error *e)
{
	size_t ignored;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fail_errno(e, path, "open");
		return NULL;
	}
	struct stat st;
	char *text = NULL;
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode))
		fail(e, BAD_FILE, "%s: is a folder, expected a file", path);
	else
		text = read_all(fd, path, limit, size ? size : &ignored, e);
	close(fd);
	return text;
}

/* ── writing ── */

/* Where a write to path ends: behind symbolic links. The caller frees it. */
static char *destination(const char *path)
{
	char *real = realpath(path, NULL);
	return real ? real : strdup(path);
}

static bool replaceable(const char *path, error *e)
{
	struct stat st;
	if (!*path) return fail(e, BAD_USAGE, "the name of the file to write is empty");
	if (stat(path, &st)) return errno == ENOENT || fail_errno(e, path, "write");
	if (!S_ISREG(st.st_mode)) return fail(e, BAD_FILE, "%s: is %s, cannot be written", path, kind_of(st.st_mode));
	return !access(path, W_OK) || fail_errno(e, path, "write");
}

static bool fail_write(const writer *w, error *e)
{
	if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG) return fail_errno(e, w->path, "write");
	uint64_t wanted = w->expected > w->written ? w->expected : w->written;
	return fail(e, BAD_FILE, "%s: the disk is full: %s; wanted %" PRIu64 " bytes", w->path, strerror(errno), wanted);
}

/* *made: how much of the path names the first folder that was missing; 0: none was. */
static bool make_folders(const char *path, size_t *made, error *e)
{
	char *own = strdup(path);
	bool fine = own || fail(e, NO_MEMORY, "%s: no memory to write it", path);
	*made = 0;
	for (char *slash = own; fine && *slash && (slash = strchr(slash + 1, '/'));) {
		*slash = 0;
		if (!mkdir(own, 0777)) {
			if (!*made) *made = (size_t)(slash - own);
		} else if (errno != EEXIST && access(own, F_OK)) {
			fine = fail(e, errno_status(), "%s: the folder %s cannot be made: %s", path, own, strerror(errno));
		}
		*slash = '/';
	}
	free(own);
	return fine;
}

bool make_folders_of(const char *path, error *e)
{
	size_t made;
	return make_folders(path, &made, e);
}

static void remove_made_folders(const writer *w)
{
	char *own = w->made ? strdup(w->path) : NULL;
	for (char *slash; own && (slash = strrchr(own, '/')) && (size_t)(slash - own) >= w->made;) {
		*slash = 0;
		if (rmdir(own)) break; /* something has come into it */
	}
	free(own);
}

static void writer_free(writer *w)
{
	if (w->fd >= 0) close(w->fd);
	free(w->path);
	free(w->temporary);
	free(w);
}

static bool create_temporary(writer *w, error *e)
{
	if (!replaceable(w->path, e) || !make_folders(w->path, &w->made, e)) return false;
	unlink(w->temporary); /* of a process that died: ids come back, in containers at once */
	w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (w->fd >= 0) return true;
	return fail_errno(e, w->path, "write");
}

writer *writer_open(const char *path, uint64_t expected, error *e)
{
	writer *w = malloc(sizeof *w);
	if (!w) {
		fail(e, NO_MEMORY, "%s: no memory to write it", path);
		return NULL;
	}
	w->fd = -1;
	w->made = 0;
	w->written = w->waiting = 0;
	w->expected = expected;
	w->temporary = NULL;
	w->path = destination(path);
	if (!w->path || asprintf(&w->temporary, "%s.tmp-%ld", w->path, (long)getpid()) < 0) {
		w->temporary = NULL;
		fail(e, NO_MEMORY, "%s: no memory to write it", path);
	} else if (create_temporary(w, e)) {
		bool reserve = expected && expected <= INT64_MAX;
		if (!reserve || !fallocate(w->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)expected) || errno == EOPNOTSUPP ||
		    errno == ENOSYS || errno == EINTR)
			return w;
		fail_write(w, e);
		unlink(w->temporary);
	}
	remove_made_folders(w);
	writer_free(w);
	return NULL;
}

static bool write_out(writer *w, const uint8_t *data, size_t bytes, error *e)
{
	w->written += bytes;
	while (bytes) {
		ssize_t n = write(w->fd, data, bytes);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return fail_write(w, e);
		data += n;
		bytes -= (size_t)n;
	}
	return true;
}

static bool flush(writer *w, error *e)
{
	size_t n = w->waiting;
	w->waiting = 0;
	return write_out(w, w->buffer, n, e);
}

bool writer_put(writer *w, const void *data, size_t bytes, error *e)
{
	if (bytes > BUFFER - w->waiting && !flush(w, e)) return false;
	if (bytes > BUFFER) return write_out(w, data, bytes, e);
	if (bytes) memcpy(w->buffer + w->waiting, data, bytes);
	w->waiting += bytes;
	return true;
}

/* Makes the rename itself lasting. Some file systems cannot; the data are safe all the same. */
static void sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(folder);
}

static void writer_undo(const writer *w)
{
	unlink(w->temporary);
	remove_made_folders(w);
}

bool writer_commit(writer *w, error *e)
{
	bool ok = flush(w, e);
	if (ok && w->written < w->expected && ftruncate(w->fd, (off_t)w->written)) ok = fail_write(w, e);
	if (ok && fsync(w->fd) && errno != EINVAL && errno != ENOTSUP) ok = fail_write(w, e);
	int fd = w->fd;
	w->fd = -1;
	if (close(fd) && ok) ok = fail_write(w, e);
	if (ok && rename(w->temporary, w->path)) ok = fail_errno(e, w->path, "write");
	if (ok)
		sync_folder(w->path);
	else
		writer_undo(w);
	writer_free(w);
	return ok;
}

void writer_abort(writer *w)
{
	if (!w) return;
	writer_undo(w);
	writer_free(w);
}

bool write_file(const char *path, const void *data, size_t bytes, error *e)
{
	writer *w = writer_open(path, bytes, e);
	if (!w) return false;
	if (writer_put(w, data, bytes, e)) return writer_commit(w, e);
	writer_abort(w);
	return false;
}

bool check_writable(const char *path, error *e)
{
	writer *w = writer_open(path, 0, e);
	writer_abort(w);
	return w != NULL;
}

/* Does a name end in ".tmp-" and a process id? */
static bool is_temporary(const char *name)
{
	const char *end = strstr(name, ".tmp-");
	for (const char *next; end && (next = strstr(end + 1, ".tmp-"));) end = next;
	return end && end[5] && strspn(end + 5, "0123456789") == strlen(end + 5);
}

void remove_leftovers(const char *beginning)
{
	const char *slash = strrchr(beginning, '/'), *prefix = slash ? slash + 1 : beginning;
	char *folder = slash ? strndup(beginning, (size_t)(slash - beginning) + 1) : strdup(".");
	DIR *d = folder ? opendir(folder) : NULL;
	for (struct dirent *entry; d && (entry = readdir(d));)
		if (!strncmp(entry->d_name, prefix, strlen(prefix)) && is_temporary(entry->d_name))
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d) closedir(d);
	free(folder);
}
