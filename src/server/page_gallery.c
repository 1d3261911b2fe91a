/* page_gallery.c - the page's gallery over HTTP, where the server was started with one. */
#include "server/a1111.h"
#include "server/gallery.h"
#include <stdlib.h>
#include <string.h>

static const char *folder_of(server *s, reply *y)
{
	if (!server_gallery(s))
		a1111_refuse(
		    y, &(problem){ .status = 404, .text = "this server keeps no gallery; sumi serve --gallery DIR does" });
	return server_gallery(s);
}

static const char *argument(const request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* What each picture says of itself, also taken apart, for it to be drawn again. */
void page_gallery(server *s, request *r, reply *y)
{
	const char *folder = folder_of(s, y), *count = argument(r, "count");
	int most = count ? atoi(count) : 60;
	size_t i;
	json_t *one;
	if (!folder) return;
	json_t *answer = gallery_list(folder, argument(r, "behind"), most < 1 ? 1 : most > 200 ? 200 : most);
	json_array_foreach(json_object_get(answer, "pictures"), i, one)
	    json_object_set_new(one, "values", a1111_parse(json_string_value(json_object_get(one, "text"))));
	reply_json(y, 200, answer);
}

static void refuse_name(reply *y)
{
	a1111_refuse(y, &(problem){ .status = 404, .text = "no such picture in the gallery" });
}

void page_gallery_picture(server *s, request *r, reply *y)
{
	const char *folder = folder_of(s, y);
	if (!folder) return;
	y->type = "image/png";
	if (gallery_read(folder, strrchr(r->path, '/') + 1, &y->body)) return;
	y->type = "application/json";
	refuse_name(y);
}

void page_gallery_delete(server *s, request *r, reply *y)
{
	const char *folder = folder_of(s, y);
	if (!folder) return;
	if (gallery_delete(folder, strrchr(r->path, '/') + 1))
		reply_json(y, 200, json_object());
	else
		refuse_name(y);
}
