/* given.h - the components of a model that lie in files of their own: an autoencoder, text encoders, a tiny decoder. */
#ifndef SUMI_CHECKPOINT_GIVEN_H
#define SUMI_CHECKPOINT_GIVEN_H
#include "checkpoint/model.h"

/* Opens the files that the options name, in place of the checkpoint's own components; the family is known by now. Each
 * must hold its whole component, in a shape that the family has. */
bool given_open(model *m, const sumi_model_options *o, error *e);
/* Whether a picture needs this component of the checkpoint. */
bool given_leaves(const model *m, role r);
/* Every component must lie somewhere; of text encoders that published files leave out, one is enough. */
bool given_complete(const model *m, error *e);

#endif
