/* models.h - the model files that a server may draw with, opened when they are first asked for. */
#ifndef SUMI_SERVER_MODELS_H
#define SUMI_SERVER_MODELS_H
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sumi.h>

enum { MOST_MODELS = 1000 };

typedef struct served_model {
	char *name, *path;
	sumi_model *model;     /* NULL: not open yet */
	sumi_session *session; /* NULL: none yet */
	uint64_t words;        /* words_state() of its folder of words when it was opened */
} served_model;

typedef struct model_list { /* begins as zeros; grows at its end alone, while others read it */
	served_model list[MOST_MODELS];
	atomic_int count;
	pthread_mutex_t opening; /* held while a model is opened, and while models_with() uses one */
} model_list;

typedef bool model_use(void *context, const sumi_model *m, sumi_error *e);

bool models_add(model_list *l, const char *path, sumi_error *e);
/* *.safetensors, *.gguf, *.ckpt, *.pt, by name, but those that are there already. */
bool models_add_folder(model_list *l, const char *folder, sumi_error *e);
int models_count(const model_list *l);
int models_find(const model_list *l, const char *name); /* a name or a file name; -1: none */
/* The model's session, opened where it is not; anew where files of words have come or changed, for a model reads them
 * when it is opened. NULL: it failed. */
sumi_session *models_session(model_list *l, int i, const sumi_model_options *o, sumi_error *e);
/* Calls `use` with the model, opened where it is not, in any thread. False: it failed. */
bool models_with(model_list *l, int i, const sumi_model_options *o, model_use *use, void *context, sumi_error *e);
void models_trim(model_list *l, int but); /* what all sessions but this keep is freed; -1: of all */
void models_free(model_list *l);

#endif
