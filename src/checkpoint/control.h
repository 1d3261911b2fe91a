/* control.h - a control network or a T2I-Adapter in a file of its own: opened for the family whose denoiser it
 * controls, its configuration read from its tensors, and every weight checked. Read are the original's names and
 * diffusers', in one file or in a folder. */
#ifndef SUMI_CHECKPOINT_CONTROL_H
#define SUMI_CHECKPOINT_CONTROL_H
#include "checkpoint/component.h"
#include "models/controlnet.h"
#include "models/t2i_adapter.h"

typedef struct control_file control_file;

/* NULL with BAD_FILE: neither of the two, or not one for this family. */
control_file *control_open(const char *path, const family *f, error *e);
/* A control network without a file, one that is being trained: `bind` gives its weights, by the names that
 * control_build() has for them. NULL: no memory. */
control_file *control_in_memory(const controlnet_config *config, bind_fn *bind, void *context, error *e);
void control_close(control_file *c); /* NULL is fine */

const char *control_path(const control_file *c);
const weights *control_weights(const control_file *c);            /* NULL: it has no file */
const t2i_adapter_config *control_adapter(const control_file *c); /* NULL: it is a control network */
const controlnet_config *control_config(const control_file *c);   /* of a control network */
const char *control_doubt(const control_file *c);                 /* a warning to the user; "" if there is none */

/* controlnet(), or t2i_adapter(), which reads the hint alone, in the scope by which control_bind() knows the weights.
 */
bool control_build(nn *n, const control_file *c, denoiser_inputs in, tensor hint, tensor *out);
/* Gives a parameter of that network its memory; false without a failure: it is another network's. */
bool control_bind(const control_file *c, const char *name, shape s, dtype *d, const void **data, error *e);
/* What will not be read again may leave the memory. */
void control_unused(const control_file *c, const void *data, size_t bytes);

#endif
