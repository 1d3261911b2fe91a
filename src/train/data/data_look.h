/* data_look.h - the set that data options name, with the captions that they give: what data.c reads batches from. */
#ifndef SUMI_TRAIN_DATA_LOOK_H
#define SUMI_TRAIN_DATA_LOOK_H
#include "train/data/data.h"

/* Reads the folder, the class's behind it, and gives captions to those that have none. Not for streams. */
bool data_look_set(data_set *s, const data_options *o, error *e);

#endif
