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
/* The weights of a parameter of shape s, by its key in the single-file layout, and what of it each is. How many; 0: not
 * all are there. Mostly it is one, which is whole; in_pieces() says of which it is not (Stable Diffusion 3's in a
 * folder). */
int component_pieces(const component *c, const family *f, role r, const char *key, shape s,
    key_piece pieces[MAX_PIECES], const weight *found[MAX_PIECES]);
/* The weight that is the whole parameter; or, by the key of one of its pieces (and that one's shape), the piece. NULL:
 * there is none. */
const weight *component_find(const component *c, const family *f, role r, const char *key, shape s);

/* Shapes agree where they are equal but for axes of length 1 at the end: [out,in] and [out,in,1,1]. */
bool shape_agrees(const weight *w, shape s);
/* A tensor_lookup; context: the weights. */
bool weights_lookup(void *context, const char *key, dtype *d, shape *s, const void **data);
/* A weight as a tensor_lookup returns it; false: NULL, or not a shape that a graph can have. */
bool weight_as_tensor(const weight *w, dtype *d, shape *s, const void **data);

#endif
