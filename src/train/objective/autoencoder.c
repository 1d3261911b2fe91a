/* autoencoder.c - `train autoencoder`: the KL autoencoder of latent diffusion (CompVis, losses/contperceptual.py). With
 * e the error of a value, |x − y| or (x − y)², plus the perceptual distance, nll = mean(e / exp(s) + s) where s is the
 * learned log-variance, and loss = nll + kl_weight · KL / values + weight · generator / values, where values are those
 * of a picture: the original's sums, divided by their number, so that the learning rate and the clipping mean the same
 * for crops of any size.
 *
 * The discriminator learns in the same step, from the pictures that were decoded for the autoencoder's; the original
 * decodes them once more in between. */
#include "train/objective/autoencoder.h"
#include "base/random.h"
#include "train/run/jobs.h"
#include "train/run/setup.h"
#include "train/run/survey.h"
#include "train/run/snapshot.h"
#include <stdlib.h>
#include <string.h>

/* ── the graph ── */
/* mean(e) of pictures: of their values, and their distance. */
static tensor reconstruction(const autoencoder *a, nn *n, tensor picture, tensor image)
{
	graph *g = n->g;
	bool squared = !strcmp(a->options->reconstruction_loss, "l2");
	tensor error_of_values = mean_all(g, activate(g, sub(g, picture, image), squared ? SQUARE : ABS));
	if (!a->perceptual.files[0]) return error_of_values;
	push(g, "lpips");
	tensor distance = lpips(n, &a->perceptual.config, picture, image);
	pop(g);
	return add(g, error_of_values, affine(g, distance, (float)a->options->perceptual_weight, 0));
}

static tensor likelihood(graph *g, tensor mean_error, tensor logvar)
{
	return add(g, mul(g, mean_error, activate(g, affine(g, logvar, -1, 0), EXP)), logvar);
}

/* The loss of the autoencoder, with the gradients of both: value + (o − [o]), where [ ] is detached. */
static tensor contested(const autoencoder *a, nn *n, tensor image, tensor picture, tensor logvar, tensor kl)
{
	graph *g = n->g;
	tensor fake = detach(g, picture), mean_error = reconstruction(a, n, fake, image);
	tensor nll = likelihood(g, mean_error, logvar);
	char last[PREFIX_LENGTH + 32];
	snprintf(last, sizeof last, "%s.decoder.conv_out.weight", a->learner.family.prefix[AUTOENCODER]);
	contest c = adversary_build(&a->adversary, n, image, picture, fake, nll, find(g, last));
	shape s = shape_of(g, image);
	float values = (float)(s.d[1] * s.d[2] * s.d[3]);
	tensor value = add(g, add(g, nll, kl), affine(g, mul(g, c.generator, c.weight), 1 / values, 0));
	tensor of_logvar = likelihood(g, detach(g, mean_error), logvar);
	tensor objective = add(g, add(g, c.pull, of_logvar), add(g, kl, c.hinge));
	return add(g, detach(g, value), sub(g, objective, detach(g, objective)));
}

tensor autoencoder_build(void *context, nn *n, int count, int height, int width)
{
	autoencoder *a = context;
	graph *g = n->g;
	const vae_config *c = &a->learner.family.autoencoder;
	int factor = vae_factor(c);
	tensor image = input(g, "image", REAL, shape4(count, height, width, c->in_channels));
	tensor noise = input(g, "noise", REAL, shape4(count, height / factor, width / factor, c->latent_channels));
	tensor moments = family_encode_image(n, &a->learner.family, image);
	tensor picture = family_decode_latent(n, &a->learner.family, vae_sample(g, moments, noise));
	tensor logvar = cast(g, param(g, a->logvar, shape1(1)), REAL);
	float values = (float)(height * width * c->in_channels);
	tensor kl = affine(g, vae_kl(g, moments), (float)a->options->kl_weight / values, 0);
	if (a->plays) return contested(a, n, image, picture, logvar, kl);
	return add(g, likelihood(g, reconstruction(a, n, picture, image), logvar), kl);
}

static bool fill_inputs(void *context, graph *g, const data_batch *b, error *e)
{
	(void)context;
	tensor image = find(g, "image"), noise = find(g, "noise");
	size_t all = shape_count(shape_of(g, noise)), each = all / (size_t)b->count;
	float *values = malloc(all * sizeof *values);
	if (!values) return fail(e, NO_MEMORY, "no memory for noise");
	for (int i = 0; i < b->count; i++) {
		generator random;
		generator_seed(&random, b->seeds[i]);
		random_normal(&random, values + (size_t)i * each, each);
	}
	bool fine = graph_write_floats(g, image, b->pixels, e) && graph_write_floats(g, noise, values, e);
	free(values);
	return fine;
}

/* ── the models ── */
static bool add_logvar(autoencoder *a, error *e)
{
	const weight *w = a->source ? checkpoint_find(a->source, a->logvar) : NULL;
	float value = (float)a->options->logvar_init;
	if (w && weight_elements(w) == 1 && dtype_is_float(w->dtype)) convert(&value, F32, w->data, w->dtype, 1);
	return learner_add(&a->learner, a->logvar, shape1(1), value, e);
}

static bool add_adversary(autoencoder *a, error *e)
{
	const train_options *o = a->options;
	if (o->disc_weight == 0) return true;
	a->adversary.config = (discriminator_config){ (int)o->disc_channels, (int)o->disc_layers };
	a->adversary.weight = o->disc_weight;
	snprintf(
	    a->adversary.scope, sizeof a->adversary.scope, "%s.loss.discriminator", a->learner.family.prefix[AUTOENCODER]);
	return adversary_open(
	    &a->adversary, &a->learner, a->source ? checkpoint_lookup : NULL, a->source, (uint64_t)o->seed, e);
}

bool autoencoder_open(autoencoder *a, const train_options *o, error *e)
{
	*a = (autoencoder){ .options = o };
	learner *m = &a->learner;
	if (*o->model) {
		if (!(a->source = checkpoint_open(o->model, e))) return false;
		m->family = *checkpoint_family(a->source);
	} else if (!family_from_option(o->model_config, &m->family, e)) {
		return false;
	}
	const char *prefix = m->family.prefix[AUTOENCODER];
	snprintf(a->logvar, sizeof a->logvar, "%s.loss.logvar", prefix);
	uint64_t seed = (uint64_t)o->seed;
	if (!learner_add_part(m, AUTOENCODER, true, a->source ? checkpoint_lookup : NULL, a->source, seed, e)) return false;
	if (o->freeze_encoder) {
		char begin[2][PREFIX_LENGTH + 16];
		snprintf(begin[0], sizeof begin[0], "%s.encoder.", prefix);
		snprintf(begin[1], sizeof begin[1], "%s.quant_conv.", prefix);
		learner_freeze(m, begin[0]);
		learner_freeze(m, begin[1]);
	}
	return add_logvar(a, e) && add_adversary(a, e) && (!*o->lpips || perceptual_open(&a->perceptual, o->lpips, m, e));
}

void autoencoder_close(autoencoder *a)
{
	learner_free(&a->learner);
	checkpoint_close(a->source);
	perceptual_close(&a->perceptual);
}

/* ── the job ── */
static bool finish(void *context, const char *path, error *e)
{
	const autoencoder *a = context;
	return learner_write(&a->learner, path, a->options->use_ema, e);
}

static void begin_contest(void *context, bool later)
{
	autoencoder *a = context;
	a->plays = later;
}

task autoencoder_task(autoencoder *a)
{
	task t = {
		.learner = &a->learner, .context = a, .build = autoencoder_build, .fill = fill_inputs, .finish = finish
	};
	if (a->options->disc_weight > 0) {
		t.change = begin_contest;
		t.changes_at = a->options->disc_start;
	}
	return t;
}

static bool check_side(const autoencoder *a, const data_options *source, error *e)
{
	int side = data_side(source), least = *a->options->lpips ? 16 : 1;
	if (!sides_fit(source, &a->learner.family, e)) return false;
	if (a->options->disc_weight > 0 && least < discriminator_least_side(&a->adversary.config))
		least = discriminator_least_side(&a->adversary.config);
	return side >= least || fail(e, BAD_USAGE, "pictures of %d are too small for %s, which needs %d", side,
	                            least == 16 ? "--lpips" : "--disc_layers", least);
}

bool train_autoencoder(const train_options *o, const training_listener *l, error *e)
{
	autoencoder a;
	bool fine = autoencoder_open(&a, o, e);
	data_options source = data_options_of(o, l, a.learner.family.size);
	task t = autoencoder_task(&a);
	bool done = false;
	fine = fine && choose_device(&a.learner, o, l, e) && survey_source(o, &source, l, e) &&
	       check_side(&a, &source, e) && train_plan(&t, o, &source, l, &done, e);
	if (fine && !done) fine = train(&t, o, &source, l, e);
	autoencoder_close(&a);
	return fine;
}
