/* caller.h - the caller's sumi_error and our error hold the same: in at the beginning of a public function, out at its
 * end. */
#ifndef SUMI_PIPELINE_CALLER_H
#define SUMI_PIPELINE_CALLER_H
#include "base/error.h"
#include <sumi.h>

/* The failure that the caller's error already holds, if any; `from` may be NULL. */
error error_of_caller(const sumi_error *from);
/* Tells the caller a first failure; whether there was none. `to` may be NULL. */
bool tell_caller(sumi_error *to, const error *e);

#endif
