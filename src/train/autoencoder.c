/* autoencoder.c - `train autoencoder`: the KL autoencoder of latent diffusion (CompVis, losses/contperceptual.py, the
 * part before the discriminator). With e the error of a value, |x − y| or (x − y)², loss = mean(e / exp(s) + s) +
 * kl_weight · KL / values where s is the learned log-variance and values are those of a picture: the original's sums,
 * divided by their number, so that the learning rate and the clipping mean the same for crops of any size. */
#include "base/random.h"
#include "train/jobs.h"
#include "train/snapshot.h"
#include <stdlib.h>
#include <string.h>

typedef struct autoencoder {
	learner learner;
	const train_options *options;
	char logvar[96];
} autoencoder;

static tensor build(void *context, nn *n, int count, int height, int width)
{
	autoencoder *a = context;
	graph *g = n->g;
	const vae_config *c = &a->learner.family.vae;
	int factor = vae_factor(c);
	tensor image = input(g, "image", REAL, shape4(count, height, width, c->in_channels));
	tensor noise = input(g, "noise", REAL, shape4(count, height / factor, width / factor, c->latent_channels));
	tensor moments = family_encode_image(n, &a->learner.family, image);
	tensor picture = family_decode_latent(n, &a->learner.family, vae_sample(g, moments, noise));
	tensor difference = sub(g, picture, image);
	difference = activate(g, difference, strcmp(a->options->reconstruction_loss, "l2") ? ABS : SQUARE);
	tensor logvar = param(g, a->logvar, shape1(1));
	tensor precision = activate(g, affine(g, logvar, -1, 0), EXP);
	tensor reconstruction = add(g, mul(g, mean_all(g, difference), precision), logvar);
	float values = (float)(height * width * c->in_channels);
	return add(g, reconstruction, affine(g, vae_kl(g, moments), (float)a->options->kl_weight / values, 0));
}

static bool fill_inputs(void *context, graph *g, const data_batch *b, error *e)
{
	(void)context;
	tensor image = find(g, "image"), noise = find(g, "noise");
	size_t each = shape_count(shape_of(g, noise)) / (size_t)b->count;
	memcpy(graph_data(g, image), b->pixels, shape_count(shape_of(g, image)) * sizeof(float));
	for (int i = 0; i < b->count; i++) {
		generator random;
		generator_seed(&random, b->seeds[i]);
		random_normal(&random, (float *)graph_data(g, noise) + (size_t)i * each, each);
	}
	(void)e;
	return true;
}

static bool finish(void *context, const char *path, error *e)
{
	const autoencoder *a = context;
	return learner_write(&a->learner, path, a->options->use_ema, e);
}

bool train_autoencoder(const train_options *o, const training_listener *l, error *e)
{
	autoencoder a = { .options = o };
	learner *m = &a.learner;
	bool fine = family_from_option(o->model_config, &m->family, e);
	snprintf(a.logvar, sizeof a.logvar, "%s.loss.logvar", m->family.vae_prefix);
	fine = fine && learner_add_part(m, VAE_PART, true, NULL, NULL, (uint64_t)o->seed, e) &&
	       learner_add(m, a.logvar, shape1(1), (float)o->logvar_init, e);
	data_options source = data_options_of(o, l, m->family.size);
	int side = source.crop ? source.crop : source.resolution;
	if (fine && side % vae_factor(&m->family.vae))
		fine = fail(
		    e, BAD_USAGE, "pictures of %d are no multiple of the autoencoder's %d", side, vae_factor(&m->family.vae));
	task t = { .learner = m, .context = &a, .build = build, .fill = fill_inputs, .finish = finish };
	fine = fine && train(&t, o, &source, l, e);
	learner_free(m);
	return fine;
}
