/* mojibake.h - "schÃ¶n" was "schön": UTF-8 that some program read as another encoding, recognised and undone by the
 * rules of ftfy 6 (R. Speer). mend_encoding of mend.h is built on these. */
#ifndef SUMI_TEXT_MOJIBAKE_H
#define SUMI_TEXT_MOJIBAKE_H
#include "text/codepoints.h"

/* Whether some neighbours in the text are as good as never meant: ftfy's badness > 0. */
bool looks_wrong(const uint32_t *at, size_t count);

#endif
