/* text.h - small questions about texts. */
#ifndef SUMI_BASE_TEXT_H
#define SUMI_BASE_TEXT_H
#include <stdbool.h>
#include <stddef.h>

bool ends_in(const char *text, const char *end);
/* Whole characters in their shortest form, none of a surrogate or above U+10FFFF. */
bool is_utf8(const char *text, size_t length);

#endif
