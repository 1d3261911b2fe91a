/* files.h - models as files: new ones, what is wrong with one, and copies in other types and layouts. */
#ifndef SUMI_CHECKPOINT_FILES_H
#define SUMI_CHECKPOINT_FILES_H
#include "base/error.h"
#include <sumi.h>

/* As sumi_init(), sumi_info() and sumi_convert_as(). */
bool file_init(const char *name, uint64_t seed, const char *type, bool zeros, const char *path,
    const sumi_listener *listener, error *e);
bool file_info(const char *path, char **report, error *e);
bool file_convert(const char *from, const char *to, const sumi_convert_options *o, error *e);

#endif
