/* text.h - small questions about texts. */
#ifndef SUMI_BASE_TEXT_H
#define SUMI_BASE_TEXT_H
#include <stdbool.h>
#include <stddef.h>

bool ends_in(const char *text, const char *end);

#endif
