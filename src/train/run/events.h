/* events.h - TensorBoard's event files: numbers and pictures over the steps of a run, one file for each piece of it.
 * Records as TensorFlow frames them (core/lib/io/record_writer.cc: length, data, masked CRC-32C of each), each an Event
 * of core/util/event.proto. */
#ifndef SUMI_TRAIN_EVENTS_H
#define SUMI_TRAIN_EVENTS_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct events events;

/* FOLDER/events.out.tfevents.TIME.HOST.PROCESS. What earlier files hold of `step` and later ones is void. */
events *events_open(const char *folder, int64_t step, error *e);
void events_close(events *v); /* NULL is fine */
bool events_numbers(events *v, int64_t step, int count, const char *const *names, const double *values, error *e);
/* png: an encoded picture. */
bool events_picture(events *v, int64_t step, const char *name, const void *png, size_t bytes, error *e);

uint32_t crc32c(const void *bytes, size_t n); /* Castagnoli's polynomial, as iSCSI and SSE 4.2 have it */

#endif
