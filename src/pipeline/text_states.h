/* text_states.h - runs the text encoders over the chunks of texts, or finds what a session has kept of them. */
#ifndef SUMI_PIPELINE_TEXT_STATES_H
#define SUMI_PIPELINE_TEXT_STATES_H
#include "pipeline/prompt_text.h"
#include "pipeline/session.h"

/* The network of one encoder, compiled for what the session does not know of the texts yet, so that its memory is
 * known. `skip` as text_encode() has it. NULL: there is nothing to encode, or it failed. */
stage *text_network(
    session *s, const prompt_text *texts, int count, int encoder, const adapter_set *a, int skip, error *e);
/* How many floats the encoder gives for a chunk of so many tokens: states [length][width], then what it pools. */
size_t text_states_count(const family *f, int encoder, int length);
/* For all chunks of all texts that are not zero, in order; stressed. The caller frees. NULL: failed. */
float *encode_texts(session *s, const prompt_text *texts, int count, int encoder, const adapter_set *a, int skip,
    const watcher *w, error *e);

#endif
