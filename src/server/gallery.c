/* gallery.c - pictures of a folder, newest first, by the time of their files. */
#include "server/gallery.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct entry {
	char name[GALLERY_NAME];
	struct timespec time;
} entry;

typedef struct entry_list {
	entry *list;
	size_t count;
} entry_list;

static bool is_picture(const char *name)
{
	const char *dot = strrchr(name, '.');
	return *name != '.' && dot && !strcmp(dot, ".png") && strlen(name) < GALLERY_NAME;
}

static int newer_first(const void *a, const void *b)
{
	const entry *x = a, *y = b;
	if (x->time.tv_sec != y->time.tv_sec) return x->time.tv_sec < y->time.tv_sec ? 1 : -1;
	if (x->time.tv_nsec != y->time.tv_nsec) return x->time.tv_nsec < y->time.tv_nsec ? 1 : -1;
	return strcmp(y->name, x->name);
}

/* Files alone: no folders, no links. A folder that is not there yet is empty. */
static entry_list read_folder(const char *folder)
{
	entry_list l = { 0 };
	size_t room = 0;
	DIR *d = opendir(folder);
	for (struct dirent *f; d && (f = readdir(d));) {
		struct stat s;
		if (!is_picture(f->d_name) || fstatat(dirfd(d), f->d_name, &s, AT_SYMLINK_NOFOLLOW) || !S_ISREG(s.st_mode))
			continue;
		if (l.count == room) {
			entry *more = realloc(l.list, (2 * room + 64) * sizeof *more);
			if (!more) break;
			l.list = more;
			room = 2 * room + 64;
		}
		entry *x = l.list + l.count++;
		snprintf(x->name, sizeof x->name, "%s", f->d_name);
		x->time = s.st_mtim;
	}
	if (d) closedir(d);
	if (l.count) qsort(l.list, l.count, sizeof *l.list, newer_first);
	return l;
}

static size_t find(const entry_list *l, const char *name)
{
	size_t i = 0;
	while (i < l->count && strcmp(l->list[i].name, name)) i++;
	return i;
}

static bool path_of(const char *folder, const char *name, char *path, size_t size)
{
	entry_list l = read_folder(folder);
	size_t i = find(&l, name);
	bool found = i < l.count && snprintf(path, size, "%s/%s", folder, l.list[i].name) < (int)size;
	free(l.list);
	return found;
}

bool gallery_keep(const char *folder, const void *bytes, size_t count, char name[GALLERY_NAME], sumi_error *e)
{
	char when[20], path[4096], part[4104];
	uint32_t random = 0;
	time_t t = time(NULL);
	struct tm local;
	strftime(when, sizeof when, "%Y%m%d-%H%M%S", localtime_r(&t, &local));
	if (getrandom(&random, sizeof random, 0) != sizeof random) random = (uint32_t)t;
	snprintf(name, GALLERY_NAME, "%s-%08x.png", when, random);
	int length = snprintf(path, sizeof path, "%s/%s", folder, name);
	snprintf(part, sizeof part, "%s.part", path);
	mkdir(folder, 0777);
	FILE *f = length < (int)sizeof path ? fopen(part, "wxe") : NULL;
	bool fine = f && fwrite(bytes, 1, count, f) == count;
	if (f && fclose(f)) fine = false;
	if (fine && !rename(part, path)) return true;
	e->status = SUMI_BAD_FILE;
	snprintf(e->text, sizeof e->text, "not kept in the gallery, %.600s: %s", path, strerror(errno));
	if (f) unlink(part);
	*name = 0;
	return false;
}

static json_t *describe(const char *folder, const char *name)
{
	char path[4096];
	int width = 0, height = 0;
	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return NULL;
	char *text = sumi_image_parameters(path, &width, &height, NULL);
	json_t *one = text ? json_pack("{s:s, s:i, s:i, s:s}", "name", name, "width", width, "height", height, "text", text)
	                   : NULL; /* not a picture, or its name or text is not UTF-8 */
	sumi_free(text);
	return one;
}

json_t *gallery_list(const char *folder, const char *behind, int count)
{
	entry_list l = read_folder(folder);
	json_t *list = json_array();
	size_t i = behind ? find(&l, behind) : 0;
	if (behind) i = i < l.count ? i + 1 : 0;
	for (; i < l.count && (int)json_array_size(list) < count; i++) {
		json_t *one = describe(folder, l.list[i].name);
		if (one) json_array_append_new(list, one);
	}
	json_t *answer = json_pack("{s:o, s:b}", "pictures", list, "more", i < l.count);
	free(l.list);
	return answer;
}

bool gallery_read(const char *folder, const char *name, buffer *bytes)
{
	char path[4096];
	FILE *f = path_of(folder, name, path, sizeof path) ? fopen(path, "re") : NULL;
	if (!f) return false;
	buffer_add_file(bytes, f);
	fclose(f);
	return true;
}

bool gallery_delete(const char *folder, const char *name)
{
	char path[4096];
	return path_of(folder, name, path, sizeof path) && !unlink(path);
}
