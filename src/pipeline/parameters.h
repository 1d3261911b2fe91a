/* parameters.h - the text in a picture that says how it was made, in the form that A1111's reader takes apart again:
 * prompt, negative prompt, and one line "Name: value, Name: value, …". */
#ifndef SUMI_PIPELINE_PARAMETERS_H
#define SUMI_PIPELINE_PARAMETERS_H
#include "base/buffer.h"
#include <stdbool.h>

typedef struct parameters { /* zeros to begin with */
	buffer text;            /* owned: free() its data, or take it */
	bool listing;           /* the line of values has begun */
} parameters;

/* The prompts; a negative prompt that is empty gets no line. What in them would be read as the beginning of another
 * part ("Negative prompt:" or "Steps:" where a line begins) is written on the line before, or behind "()", which mean
 * the same to a tokenizer. */
void parameters_begin(parameters *p, const char *prompt, const char *negative);
/* One value; quoted as JSON where it holds a comma, a colon or a newline, or begins or ends in what is taken off. */
void parameters_text(parameters *p, const char *name, const char *value);
/* As a person writes it: 7, 7.5, 0.05 */
void parameters_number(parameters *p, const char *name, double value);
void parameters_integer(parameters *p, const char *name, long long value);

#endif
