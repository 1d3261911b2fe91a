/* page.h - the files of web/, which the build puts into the program (cmake/embed.cmake). */
#ifndef SUMI_SERVER_PAGE_H
#define SUMI_SERVER_PAGE_H
#include <stddef.h>

typedef struct page_file {
	const char *path; /* "/app.js" */
	const unsigned char *bytes;
	size_t size;
} page_file;
extern const page_file page_files[]; /* ends with a NULL path */

const page_file *page_find(const char *path); /* "/" is index.html; NULL: no such file */

#endif
