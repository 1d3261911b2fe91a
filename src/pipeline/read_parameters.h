/* read_parameters.h - reads the text in a picture that says how it was made: A1111's, which parameters.h writes, and
 * ComfyUI's graph as far as it is one sampler. */
#ifndef SUMI_PIPELINE_READ_PARAMETERS_H
#define SUMI_PIPELINE_READ_PARAMETERS_H
#include "base/error.h"
#include "sumi.h"

/* Calls `each` with "Prompt", "Negative prompt" where there is one, and the names and values of the last line, in its
 * order, without their quotes. The rules are those of A1111's parse_generation_parameters: the last line counts where
 * it holds three values or more. A graph of ComfyUI gives the same names; its samplers and schedules are spelled so
 * that ours mean what they mean there. Fails with BAD_FILE where the text says nothing of how a picture is made. */
bool parameters_read(const char *text, sumi_parameter_fn *each, void *context, error *e);

#endif
