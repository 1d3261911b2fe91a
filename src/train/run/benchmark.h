/* benchmark.h - how fast the data come when nothing else is to be done. */
#ifndef SUMI_TRAIN_BENCHMARK_H
#define SUMI_TRAIN_BENCHMARK_H
#include "train/run/trainer.h"

/* Reads so many batches and reports images per second, and what one thread would reach. */
bool benchmark_loader(const data_options *source, int64_t batches, const training_listener *l, error *e);

#endif
