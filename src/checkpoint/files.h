/* files.h - models as files: new ones, what is wrong with one, and copies in other types and layouts. */
#ifndef SUMI_CHECKPOINT_FILES_H
#define SUMI_CHECKPOINT_FILES_H
#include "base/error.h"
#include <sumi.h>

/* As sumi_init(), sumi_info(), sumi_convert_as() and sumi_merge(), which without LoRA files is sumi_convert(). */
bool file_init(const char *name, uint64_t seed, const char *type, bool zeros, const char *path,
    const sumi_listener *listener, error *e);
bool file_info(const char *path, char **report, error *e);
bool file_convert_as(const char *from, const char *to, const sumi_convert_options *o, error *e);
bool file_convert(const char *from, const char *to, const char *const *loras, int lora_count, const char *type,
    const char *layout, bool clamp, const sumi_listener *listener, error *e);

#endif
