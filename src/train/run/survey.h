/* survey.h - what a run says of its training set before it begins. */
#ifndef SUMI_TRAIN_SURVEY_H
#define SUMI_TRAIN_SURVEY_H
#include "train/data/data.h"
#include "train/run/listener.h"
#include "train/run/options.h"

/* Surveys the set before the work and reports what is in it, what is missing and what is left out; a set without
 * captions is refused with --require_captions. From then on the data's log receives faults of pixels alone. */
bool survey_source(const train_options *o, data_options *source, const training_listener *l, error *e);

#endif
