/* html.h - character references of HTML, &amp; and its kin: prompts copied from web pages are full of them. */
#ifndef SUMI_TEXT_HTML_H
#define SUMI_TEXT_HTML_H
#include "text/codepoints.h"

typedef struct entities entities; /* immutable after opening */

/* What browsers read in the code points U+0080 to U+009F, which are controls: the characters of Windows-1252. */
extern const uint16_t windows_1252[32];

entities *entities_open(error *e);
void entities_close(entities *names);

/* html.unescape of Python's library: what browsers do, names without semicolon and numbers of Windows-1252 included. */
bool html_unescape(codepoints *t, const entities *names, error *e);
/* unescape_html of ftfy 6: only references that end in a semicolon and have one meaning, and capital forms such as
 * &EACUTE; as well as those of the standard. */
bool html_unescape_careful(codepoints *t, const entities *names, error *e);

#endif
