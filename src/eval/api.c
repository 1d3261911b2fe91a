/* api.c - the public functions: errors go in and out, work is done elsewhere. */
#include "eval/evaluate.h"
#include "checkpoint/caller.h"
#include <stdlib.h>

sumi_evaluation_options sumi_evaluation_defaults(void)
{
	return (sumi_evaluation_options){ .samples = 2000, .shown = 48 };
}

bool sumi_evaluate(sumi_model *m, const sumi_evaluation_options *o, sumi_evaluation *result, sumi_error *e)
{
	error own = error_of_caller(e);
	*result = (sumi_evaluation){ 0 };
	if (!failed(&own) && (!m || !o)) fail(&own, BAD_USAGE, "no model or no options to evaluate with");
	if (!failed(&own) && !evaluate(m, o, result, &own)) sumi_evaluation_free(result);
	return tell_caller(e, &own);
}

void sumi_evaluation_free(sumi_evaluation *r)
{
	free(r->table);
	free(r->json);
	sumi_image_free(r->grid);
	*r = (sumi_evaluation){ 0 };
}
