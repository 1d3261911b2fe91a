/* folder.h - the files in a diffusers folder: which of the weights that may lie side by side are read, and JSON. */
#ifndef SUMI_CHECKPOINT_FOLDER_H
#define SUMI_CHECKPOINT_FOLDER_H
#include "io/weights.h"
#include <jansson.h>

bool is_folder(const char *path);

/* A JSON file of the folder, such as "unet/config.json"; the caller gives it back. NULL with BAD_FILE where it cannot
 * be read; where it is not there and not needed, NULL without a failure. */
json_t *folder_json(const char *folder, const char *name, bool needed, error *e);

/* The weights in folder/inner: an index of shards before one file, safetensors before pickles, the plain name before a
 * variant (".fp16."). NULL with BAD_FILE where there are none. */
weights *folder_weights(const char *folder, const char *inner, error *e);

bool folder_has_weights(const char *folder, const char *inner);

/* A file of weights; or a folder of them, or one that has them in `inner`. */
weights *weights_open_folder(const char *path, const char *inner, error *e);

#endif
