/* a1111.h - what the handlers of A1111's API share. */
#ifndef SUMI_SERVER_A1111_H
#define SUMI_SERVER_A1111_H
#include "server/api.h"
#include "server/fields.h"

void a1111_refuse(reply *y, const problem *p);
/* A model by name, file name, or A1111's title "FILE [hash]"; -1: none, and the problem is said. */
int a1111_find_model(server *s, const char *title, problem *p);
/* The second pass's upscaler of this name, as sumi_options take it, static; NULL: none. */
const char *a1111_find_upscaler(const char *name);
/* {name: value} of a text of parameters, with "Prompt" and "Negative prompt". */
json_t *a1111_parse(const char *parameters);

#endif
