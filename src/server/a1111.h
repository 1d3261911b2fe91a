/* a1111.h - what the handlers of A1111's API share. */
#ifndef SUMI_SERVER_A1111_H
#define SUMI_SERVER_A1111_H
#include "server/api.h"
#include "server/errors.h"

/* The job that a request for pictures asks for; the caller's. NULL: the problem is said. */
job *a1111_read(server *s, const json_t *body, bool from_picture, problem *p);
/* alwayson_scripts: the units of ControlNet become the job's controls; other scripts are refused by name. */
void a1111_read_scripts(server *s, const json_t *o, job *j, problem *p);
/* What the job's controls read, to the pictures of an answer. False: no memory. */
bool a1111_add_maps(const job *j, json_t *images);
/* {name: value} of a text of parameters, with "Prompt" and "Negative prompt". */
json_t *a1111_parse(const char *parameters);

/* ── files that a request names: a1111_files.c ── */
/* The second pass's upscaler of this name, as sumi_options take it. */
bool a1111_find_upscaler(server *s, const char *name, char path[4096]);
/* An upscaler's network. */
bool a1111_find_network(server *s, const char *name, char path[4096]);

/* ── fields and refusals: a1111_fields.c ── */
/* Whether a field says that what it names is not wanted: absent, null, false, 0, "", "None", {}, or a list of these
 * alone. */
bool a1111_is_off(const json_t *v);
/* The value itself as a whole number, or its place among `names`, which end with NULL. */
void a1111_choice(const json_t *o, const char *name, const char *const *names, int64_t *value, problem *p);
/* A model by name, file name, or A1111's title "FILE [hash]"; -1: none, and the problem is said. */
int a1111_find_model(server *s, const char *title, problem *p);
/* CLIP_stop_at_last_layers as sumi's clip_skip: 1 leaves it to the model, as in A1111. */
int a1111_clip_skip(const json_t *settings, problem *p);
/* Whether a setting sd_vae leaves the autoencoder as it is. */
bool a1111_is_our_vae(const server *s, const json_t *name);
void a1111_refuse(reply *y, const problem *p);
void a1111_refuse_submission(server *s, submitted done, problem *p); /* nothing where it was accepted */

#endif
