/* component.h - where the weights of one network lie: a file, which may hold others too, and how it names them. */
#ifndef SUMI_CHECKPOINT_COMPONENT_H
#define SUMI_CHECKPOINT_COMPONENT_H
#include "io/weights.h"
#include "models/dialects.h"

typedef struct component {
	const weights *from; /* NULL: nowhere */
	dialect dialect;
} component;

/* Finds the component in a file; false, and c is left as it was: it is not there. The family's text encoder may get
 * another layout, as dialect_find() says, and lose a projection that the file does not have. */
bool component_locate(component *c, family *f, role r, const weights *from);
/* The weight for a parameter of shape s, by its key in the single-file layout; NULL: there is none. */
const weight *component_find(const component *c, const family *f, role r, const char *key, shape s);
/* Files of eight-bit weights may hold a factor for each ("NAME.scale_weight"), without which they mean nothing: the
 * name of such a factor, which belongs to the file; NULL: there is none. */
const char *component_scale(const component *c);

/* A tensor_lookup; context: the weights. */
bool weights_lookup(void *context, const char *key, dtype *d, shape *s, const void **data);
/* A weight as a tensor_lookup returns it; false: NULL, or not a shape that a graph can have. */
bool weight_as_tensor(const weight *w, dtype *d, shape *s, const void **data);

#endif
