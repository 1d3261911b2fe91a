/* encodings.h - single-byte encodings in which UTF-8 is read by mistake, in the order in which ftfy tries them. Bytes
 * under 0x80 are ASCII in all. A byte that an encoding leaves free stands for the code point of the same number. */
#ifndef SUMI_TEXT_ENCODINGS_H
#define SUMI_TEXT_ENCODINGS_H
#include <stdint.h>

typedef enum encoding {
	WINDOWS_1252,
	WINDOWS_1251,
	WINDOWS_1250,
	WINDOWS_1253,
	WINDOWS_1254,
	WINDOWS_1257,
	ISO_8859_2,
	MAC_ROMAN,
	CODE_PAGE_437,
	ENCODINGS,
} encoding;

extern const uint16_t upper_halves[ENCODINGS][128]; /* bytes 0x80 to 0xFF */

#endif
