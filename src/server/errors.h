/* errors.h - what the library refused, as a client may read it: the library names a file by its path, and answers name
 * it by its name alone. */
#ifndef SUMI_SERVER_ERRORS_H
#define SUMI_SERVER_ERRORS_H
#include "server/fields.h"
#include "server/http.h"

/* Nothing where there is no error. 400 for an argument, and for a file, which is what a request names; 507 for memory,
 * 499 where it was cancelled, else 500. */
void problem_of(server *s, problem *p, const sumi_error *e);

/* A picture, or all of a request, that is larger than this server draws. */
void refuse_size(server *s, problem *p, const char *field);

/* Takes the folders of what this server was started with out of the text: of its models, of what they are put together
 * from, and of the files that requests may name. */
void hide_folders(server *s, char *text);

#endif
