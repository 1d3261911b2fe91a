/* folders.h - folders of the server's user whose files requests name by name: LoRA files, words, control networks,
 * upscalers. A folder is read anew each time, so that what is put there is found; no request names a path. */
#ifndef SUMI_SERVER_FOLDERS_H
#define SUMI_SERVER_FOLDERS_H
#include <jansson.h>
#include <stdbool.h>

typedef enum folder_kind { LORAS, WORDS, CONTROLS, UPSCALERS, FOLDERS } folder_kind;

typedef struct name_list { /* of files, without ending, by name */
	char **name, **path;
	int count;
} name_list;

/* Files of weights in a folder, but for what training runs made there of another kind; none where it is NULL or cannot
 * be read. Free with names_free(). */
name_list names_in(const char *folder, folder_kind which);
void names_free(name_list *l);
/* The path of the file that has this name, with or without its ending. False: there is none, or it is too long. */
bool name_find(const char *folder, folder_kind which, const char *name, char path[4096]);

/* The header of a .safetensors file: {name: {"dtype", "shape"}, "__metadata__": {…}}. NULL: it has none that can be
 * read. */
json_t *header_of(const char *path);

#endif
