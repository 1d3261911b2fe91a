/* lock.c - flock() on a file that names its holder. */
#include "base/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct file_lock {
	int fd;
	char *path;
};

/* The file may have been removed by its holder between our opening and our taking it: then what we hold has no name. */
static bool still_there(int fd, const char *path)
{
	struct stat held, named;
	return !fstat(fd, &held) && !stat(path, &named) && held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

static void write_holder(int fd)
{
	char text[256], host[80] = "?", when[32];
	time_t now = time(NULL);
	struct tm t;
	gethostname(host, sizeof host - 1);
	strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &t));
	int n = snprintf(text, sizeof text, "process %ld on %s since %s\n", (long)getpid(), host, when);
	if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) return; /* it serves the message alone */
}

static bool fail_held(int fd, const char *what, error *e)
{
	char holder[200] = "";
	ssize_t n = pread(fd, holder, sizeof holder - 1, 0);
	holder[n > 0 ? n : 0] = 0;
	holder[strcspn(holder, "\n")] = 0;
	return fail(e, BAD_FILE, "%s is in use by %s", what, *holder ? holder : "another process");
}

static bool take(file_lock *l, const char *what, error *e)
{
	enum { TRIES = 100 };
	for (int i = 0; i < TRIES; i++) {
		l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
		if (l->fd < 0) return fail(e, errno_status(), "%s: %s", l->path, strerror(errno));
		bool held = flock(l->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK; /* a file system without it: we go on */
		if (held) return fail_held(l->fd, what, e);
		if (still_there(l->fd, l->path)) return write_holder(l->fd), true;
		close(l->fd);
		l->fd = -1;
	}
	return fail(e, BAD_FILE, "%s: cannot be locked: it was replaced each of %d times", l->path, TRIES);
}

file_lock *lock_take(const char *path, const char *what, error *e)
{
	file_lock *l = malloc(sizeof *l);
	char *copy = strdup(path);
	if (!l || !copy) {
		free(l);
		free(copy);
		fail(e, NO_MEMORY, "no memory for a lock");
		return NULL;
	}
	*l = (file_lock){ -1, copy };
	if (take(l, what, e)) return l;
	if (l->fd >= 0) close(l->fd);
	free(copy);
	free(l);
	return NULL;
}

void lock_release(file_lock *l)
{
	if (!l) return;
	unlink(l->path); /* while it is held, so this is not another process's file */
	close(l->fd);
	free(l->path);
	free(l);
}
