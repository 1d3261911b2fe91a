/* a1111.h - what the handlers of A1111's API share. */
#ifndef SUMI_SERVER_A1111_H
#define SUMI_SERVER_A1111_H
#include "server/api.h"
#include "server/fields.h"

/* The job that a request for pictures asks for; the caller's. NULL: the problem is said. */
job *a1111_read(server *s, const json_t *body, bool from_picture, problem *p);
void a1111_refuse_submission(submitted done, problem *p); /* nothing where it was accepted */
void a1111_refuse(reply *y, const problem *p);
/* A model by name, file name, or A1111's title "FILE [hash]"; -1: none, and the problem is said. */
int a1111_find_model(server *s, const char *title, problem *p);
/* The second pass's upscaler of this name, as sumi_options take it, static; NULL: none. */
const char *a1111_find_upscaler(const char *name);
/* {name: value} of a text of parameters, with "Prompt" and "Negative prompt". */
json_t *a1111_parse(const char *parameters);

#endif
