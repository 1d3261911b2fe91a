/* vocabulary.h - a WordPiece vocabulary learned from the texts of a training set. */
#ifndef SUMI_TRAIN_VOCABULARY_H
#define SUMI_TRAIN_VOCABULARY_H
#include "train/data/data.h"

/* At most `size` tokens, one a line, from every caption and keyword of the set (of a stream its first million). The
 * caller frees; NULL: failed. */
char *learn_vocabulary(data *d, int size, error *e);

#endif
