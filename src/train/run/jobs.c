/* jobs.c - a training of any kind, from its options: which job it is, and its place to write. */
#include "train/run/jobs.h"
#include "train/run/folder.h"
#include "train/run/team.h"

static bool run_job(training_job job, const train_options *o, const training_listener *l, error *e)
{
	switch (job) {
	case TRAIN_AUTOENCODER: return train_autoencoder(o, l, e);
	case TRAIN_DIFFUSION: return train_diffusion(o, l, e);
	case TRAIN_LORA: return train_lora(o, l, e);
	case TRAIN_EMBEDDING: return train_embedding(o, l, e);
	case TRAIN_CONTROLNET: return train_controlnet(o, l, e);
	case TRAIN_CACHE: return train_cache(o, l, e);
	default: return fail(e, BAD_USAGE, "no training job %d", (int)job);
	}
}

bool train_run(training_job job, const train_options *o, const training_listener *l, error *e)
{
	team *together = train_options_check(o, job, e) && outputs_spare_inputs(o, e) ? team_join(e) : NULL;
	if (!together) return false;
	training_listener mine = l ? *l : (training_listener){ 0 };
	if (team_rank(together)) mine.note = NULL; /* the others would say the same */
	error own = { 0 };
	bool writes = !team_rank(together) && !o->benchmark_loader && !o->plan;
	run_place *place = writes ? run_place_take(o, &own) : NULL;
	bool fine = !failed(&own) && team_wait(together, &own) && run_job(job, o, &mine, &own);
	run_place_release(place);
	team_leave(together, fine || own.status == STOPPED);
	return fine || fail(e, own.status, "%s", own.text);
}
