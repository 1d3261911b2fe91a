/* cache_job.c - `sumi cache`: the latents, and the text states, of a set for the training of a model. */
#include "train/data/cache.h"
#include "base/clock.h"
#include "train/objective/diffusion.h"
#include "train/run/jobs.h"
#include "train/run/setup.h"
#include "train/run/survey.h"
#include <math.h>
#include <string.h>

typedef struct job_clock {
	const training_listener *l;
	double began;
	data_counts counts;
	int64_t done;
} job_clock;

static bool report(void *context, int64_t done, int64_t of, const data_counts *counts)
{
	job_clock *c = context;
	double spent = fmax(1e-9, seconds_now() - c->began), each = spent / (double)done;
	c->counts = *counts;
	c->done = done;
	if (!c->l || !c->l->progress) return true;
	training_progress p = { .step = done,
		.steps = of < 0 ? 0 : of,
		.images_per_second = 1 / each,
		.seconds_left = of < 0 ? 0 : each * (double)(of - done),
		.waited = counts->waited / spent };
	return c->l->progress(c->l->context, &p);
}

/* Of an autoencoder alone there are no words. */
static bool open_models(diffusion *d, const train_options *o, const training_listener *l, error *e)
{
	if (*o->model) return diffusion_open(d, o, false, false, l, e);
	*d = (diffusion){ .options = o };
	if (!(d->vae = checkpoint_open(o->vae, e))) return false;
	d->learner.family = *checkpoint_family(d->vae);
	return learner_add_part(&d->learner, AUTOENCODER, false, checkpoint_lookup, d->vae, 0, e);
}

static bool reads_words(const diffusion *d)
{
	bool any = false;
	for (int k = 0; k < TEXT_ENCODERS; k++) any |= d->conditions.texts.tokenizers[k] != NULL;
	return any;
}

bool train_cache(const train_options *o, const training_listener *l, error *e)
{
	diffusion d;
	bool fine = open_models(&d, o, l, e);
	data_options source = data_options_of(o, l, d.learner.family.size);
	fine = fine && choose_device(&d.learner, o, l, e) && survey_source(o, &source, l, e) &&
	       sides_fit(&source, &d.learner.family, e);
	job_clock c = { .l = l, .began = seconds_now() };
	cache_options how = { .folder = o->output,
		.texts = o->cache_text ? &d.conditions.texts : NULL,
		.stored = precision_of_cache(o),
		.compute = strcmp(o->mixed_precision, "bf16") ? REAL : BF16,
		.threads = threads_of(o),
		.progress = report,
		.context = &c };
	fine = fine && cache_write(&how, &d.learner, &source, e);
	if (fine)
		training_note(l, "%lld latents%s in %s: %.1f images/s; %llu could not be read, %llu had no caption",
		    (long long)c.done, reads_words(&d) && how.texts ? " and text states" : "", o->output,
		    (double)c.done / fmax(1e-9, seconds_now() - c.began), (unsigned long long)c.counts.broken,
		    (unsigned long long)c.counts.uncaptioned);
	diffusion_close(&d);
	return fine;
}
