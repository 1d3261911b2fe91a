/* gallery.h - a folder of pictures, PNG files with their parameters. A name from a request is never a path: it must be
 * the name of a file that the folder lists. */
#ifndef SUMI_SERVER_GALLERY_H
#define SUMI_SERVER_GALLERY_H
#include "base/buffer.h"
#include <jansson.h>
#include <sumi.h>

enum { GALLERY_NAME = 256 };

/* Writes a PNG file under a new name, which begins with the time; the name goes to `name`. The folder is made where it
 * is missing. False: not kept. */
bool gallery_keep(const char *folder, const void *bytes, size_t count, char name[GALLERY_NAME], sumi_error *e);
/* At most `count` pictures, the newest first, those behind the one named `behind` (NULL: from the first on):
 * {"pictures": [{"name", "width", "height", "text"}, …], "more": whether there are others}. NULL: no memory. */
json_t *gallery_list(const char *folder, const char *behind, int count);
bool gallery_read(const char *folder, const char *name, buffer *bytes); /* false: no such picture */
bool gallery_delete(const char *folder, const char *name);              /* the same */

#endif
