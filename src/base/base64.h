/* base64.h - bytes as text, as JSON, HTML and terminals take pictures (RFC 4648, section 4). */
#ifndef SUMI_BASE_BASE64_H
#define SUMI_BASE_BASE64_H
#include <stddef.h>

/* Ends with 0; free() it. NULL: no memory. */
char *base64_encode(const void *data, size_t bytes);
/* A "data:…;base64," before it, spaces and line breaks in it and missing '=' at its end are allowed. NULL: not base64,
 * or no memory. free() it. */
unsigned char *base64_decode(const char *text, size_t *bytes);

#endif
