/* page.c - answers with the page's files. */
#include "server/page.h"
#include "server/api.h"
#include <string.h>

void page(server *s, request *r, reply *y)
{
	const char *path = strcmp(r->path, "/") ? r->path : "/index.html", *ending = strrchr(path, '.');
	(void)s;
	y->type = !strcmp(ending, ".html")  ? "text/html; charset=utf-8"
	          : !strcmp(ending, ".css") ? "text/css; charset=utf-8"
	                                    : "text/javascript; charset=utf-8";
	for (const page_file *f = page_files; f->path; f++)
		if (!strcmp(f->path, path)) buffer_add(&y->body, f->bytes, f->size);
}
