/* picture_files.c - compressing a picture of a small model, and waiting for the disk, takes as long as some of its
 * steps: so several are written at the same time. */
#include "cli/picture_files.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

typedef struct writing {
	picture_file *files;
	int count;
	atomic_int next; /* the first that is not begun */
} writing;

static void *write_some(void *context)
{
	writing *w = context;
	for (int i; (i = atomic_fetch_add(&w->next, 1)) < w->count;)
		sumi_image_write(w->files[i].picture, w->files[i].path, &w->files[i].error);
	return NULL;
}

/* The caller works too, alone where there is no other thread. */
void write_picture_files(picture_file *files, int count, sumi_error *e)
{
	enum { MOST = 16 };
	pthread_t threads[MOST];
	writing w = { .files = files, .count = count };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	int n = 0;
	while (n < MOST && n + 1 < count && n + 1 < cpus && !pthread_create(&threads[n], NULL, write_some, &w)) n++;
	write_some(&w);
	while (n > 0) pthread_join(threads[--n], NULL);
	for (int i = 0; i < count; i++)
		if (!files[i].error.status)
			puts(files[i].path);
		else if (!e->status)
			*e = files[i].error;
	fflush(stdout);
}
