/* page.c - answers with the page's files. */
#include "server/page.h"
#include "server/api.h"
#include <string.h>

const page_file *page_find(const char *path)
{
	if (!strcmp(path, "/")) path = "/index.html";
	for (const page_file *f = page_files; f->path; f++)
		if (!strcmp(f->path, path)) return f;
	return NULL;
}

static const char *type_of(const char *path)
{
	static const char *const types[][2] = { { ".html", "text/html; charset=utf-8" },
		{ ".css", "text/css; charset=utf-8" }, { ".js", "text/javascript; charset=utf-8" },
		{ ".json", "application/json" }, { ".svg", "image/svg+xml" }, { ".png", "image/png" },
		{ ".webmanifest", "application/manifest+json" } };
	const char *ending = strrchr(path, '.');
	for (size_t i = 0; ending && i < sizeof types / sizeof *types; i++)
		if (!strcmp(ending, types[i][0])) return types[i][1];
	return "application/octet-stream";
}

void page(server *s, request *r, reply *y)
{
	const page_file *f = page_find(r->path);
	(void)s;
	y->type = type_of(f->path);
	buffer_add(&y->body, f->bytes, f->size);
}
