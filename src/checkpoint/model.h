/* model.h - an open model: a checkpoint whose family is known and whose tensors are all there, what replaces some of
 * or added to its weights, and what is computed with. sumi_model of the public header. */
#ifndef SUMI_CHECKPOINT_MODEL_H
#define SUMI_CHECKPOINT_MODEL_H
#include "models/families.h"
#include "models/taesd.h"
#include "checkpoint/adapters.h"
#include "checkpoint/caller.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/embeddings.h"
#include <sumi.h>

typedef struct sumi_model model;

struct sumi_model {
	family family;
	checkpoint *checkpoint;
	char *path;
	char name[64];               /* of the file, without folder and ending */
	component components[ROLES]; /* where the weights of each lie: in the checkpoint or a file of their own */
	weights *given[ROLES];       /* such files, and their paths; NULL: none */
	char *given_path[ROLES];
	taesd_config tiny;
	bool tiny_previews;    /* taesd makes previews alone */
	bool autoencoder_only; /* nothing else need be in the checkpoint */
	bool prediction_given; /* the caller said what the denoiser predicts: a folder's scheduler does not count */
	tokenizer *tokenizers[TEXT_ENCODERS]; /* NULL: the family has no such encoder, or no file of it is there */
	embeddings words;                     /* learned ones, in addition to the tokenizer's */
	dtype compute;
	bool type_given;        /* the caller chose it */
	const backend *backend; /* of the device that it was opened for */
	int threads;
	uint64_t max_memory; /* 0: what the system has */
	char *lora_folder;
	adapter_list lasting;               /* LoRA files given when it was opened */
	const struct control_file *control; /* one that is being trained, which controls of the path "" mean; NULL: none */
	watcher watcher;                    /* while it is opened; afterwards a model does not change */
	/* Where the weights lie in memory (a training run draws with its own): in place of checkpoint_find(). */
	bind_fn *bind;
	void *bind_context;
};

model *model_open(const char *path, const sumi_model_options *options, error *e);
void model_close(model *m); /* NULL is fine */

/* Adds a LoRA file to a list, with weights as models/lora_strengths.h reads them, and reports to the listener what of
 * it matched. */
bool model_add_lora(
    const model *m, const watcher *w, adapter_list *l, const char *path, const char *strengths, error *e);

/* Gives parameters of a graph their memory: an adapter's, another autoencoder's, or the checkpoint's. */
bool model_bind(void *m, const char *name, shape s, dtype *d, const void **data, error *e);
/* nn.h's `pieces`, of a model. */
int model_pieces(const void *m, const char *name, shape s, row_piece pieces[NN_PIECES]);
void model_unused(void *m, const void *data, size_t bytes);

/* Calls the listener; false with STOPPED: it requests a stop. */
bool model_progress(const model *m, const char *stage, int step, int steps, error *e);
void model_note(const model *m, sumi_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
