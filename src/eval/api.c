/* api.c - the public functions: errors go in and out, work is done elsewhere. */
#include "eval/evaluate.h"
#include "checkpoint/caller.h"
#include <stdlib.h>

void sumi_evaluation_options_init(sumi_evaluation_options *options, size_t size)
{
	const sumi_evaluation_options standard = { .samples = 2000, .shown = 48 };
	hand_out(options, size, &standard, sizeof standard);
}

sumi_evaluation *sumi_evaluate(sumi_model *m, const sumi_evaluation_options *options, sumi_error *e)
{
	error own = error_of_caller(e);
	sumi_evaluation_options o = sumi_evaluation_defaults();
	sumi_evaluation *result = NULL;
	if (!failed(&own) && (!m || !options)) fail(&own, BAD_USAGE, "no model or no options to evaluate with");
	if (!failed(&own) && adopt(&o, sizeof o, options, "sumi_evaluation_options", &own)) {
		result = calloc(1, sizeof *result);
		if (!result) fail(&own, NO_MEMORY, "out of memory for the figures");
	}
	if (result && !evaluate(m, &o, result, &own)) {
		sumi_evaluation_free(result);
		result = NULL;
	}
	tell_caller(e, &own);
	return result;
}

void sumi_evaluation_free(sumi_evaluation *r)
{
	if (!r) return;
	free(r->table);
	free(r->json);
	sumi_image_free(r->grid);
	free(r);
}
