/* mend.h - repairs damaged text as ftfy 6 ("fixes text for you", R. Speer) does: CLIP was trained on captions
 * that went through it, so its tokenizers apply it to prompts. */
#ifndef SUMI_TEXT_MEND_H
#define SUMI_TEXT_MEND_H
#include "text/html.h"

/* ftfy.fix_text with its default settings, line by line: HTML references (until a '<' is met), text decoded with a
 * wrong encoding, C1 controls, ligatures, full- and half-width forms, curly quotes, line ends, terminal escapes,
 * control characters, NFC; again until nothing changes. One difference: a line is gone over 16 times at most, so
 * that text made to need thousands of passes costs no more than long text. */
bool mend_text(codepoints *t, const entities *names, error *e);

/* ftfy.fix_encoding alone: "schÃ¶n" becomes "schön" (mojibake.c). */
bool mend_encoding(codepoints *t, error *e);

#endif
