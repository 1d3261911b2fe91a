/* features.c - the autoencoder at work, and averages. */
#include "eval/features.h"
#include "base/resources.h"
#include "pipeline/engine.h"
#include <stdlib.h>
#include <string.h>

enum { PARTS_A_SIDE = 4 };

struct feature_encoder {
	stage encoder, decoder;
	int batch, side, latent_side, channels;
	float *pictures, *latents; /* a whole batch */
};

static void build_encoder(nn *n, const model *m, stage *s, const void *shapes)
{
	const feature_encoder *y = shapes;
	s->in[0] = input(n->g, "image", REAL, shape4(y->batch, y->side, y->side, m->family.autoencoder.in_channels));
	s->out = vae_mean(n->g, family_encode_image(n, &m->family, s->in[0]));
}

static void build_decoder(nn *n, const model *m, stage *s, const void *shapes)
{
	const feature_encoder *y = shapes;
	s->in[0] = input(n->g, "latent", REAL, shape4(y->batch, y->latent_side, y->latent_side, y->channels));
	s->out = family_decode_latent(n, &m->family, s->in[0]);
}

feature_encoder *features_new(const model *m, error *e)
{
	feature_encoder *y = calloc(1, sizeof *y);
	if (!y) return fail(e, NO_MEMORY, "out of memory"), NULL;
	adaptation all = { NULL, 0 };
	y->encoder.name = "encode";
	y->decoder.name = "decode";
	y->side = m->family.size;
	y->latent_side = y->side / vae_factor(&m->family.autoencoder);
	y->channels = m->family.autoencoder.latent_channels;
	y->batch = engine_batch(m, y->side, y->side, 1);
	bool fine = (m->family.autoencoder.in_channels == 3 && m->family.autoencoder.out_channels == 3) ||
	            fail(e, BAD_FILE, "%s: its pictures do not have three channels", m->path);
	fine = fine && stage_compile(&y->encoder, m, all, build_encoder, y, e) &&
	       stage_compile(&y->decoder, m, all, build_decoder, y, e);
	uint64_t needed = stage_bytes(&y->encoder) + stage_bytes(&y->decoder);
	uint64_t available = device_available(m->backend->device);
	if (fine && needed > available)
		fine = fail(e, NO_MEMORY,
		    "memory: %.1f MiB more are needed for the autoencoder on %d pictures of %d×%d, %s has %.1f MiB",
		    (double)needed / (1 << 20), y->batch, y->side, y->side, device_owner(m->backend->device),
		    (double)available / (1 << 20));
	y->pictures = calloc((size_t)y->batch * features_pixels(y), sizeof(float));
	y->latents = calloc((size_t)y->batch * features_values(y), sizeof(float));
	if (fine && (!y->pictures || !y->latents)) fine = fail(e, NO_MEMORY, "out of memory for pictures");
	if (fine && stage_allocate(&y->encoder, m, NULL, e) && stage_allocate(&y->decoder, m, NULL, e)) return y;
	features_free(y);
	return NULL;
}

void features_free(feature_encoder *y)
{
	if (!y) return;
	stage_free(&y->encoder);
	stage_free(&y->decoder);
	free(y->pictures);
	free(y->latents);
	free(y);
}

int features_batch(const feature_encoder *y) { return y->batch; }
size_t features_pixels(const feature_encoder *y) { return (size_t)y->side * (size_t)y->side * 3; }
size_t features_values(const feature_encoder *y)
{
	return (size_t)y->latent_side * (size_t)y->latent_side * (size_t)y->channels;
}
size_t features_reduced(const feature_encoder *y) { return (size_t)y->latent_side * (size_t)y->latent_side * 3; }

bool features_encode(feature_encoder *y, const float *pictures, int count, float *latents, error *e)
{
	memcpy(y->pictures, pictures, (size_t)count * features_pixels(y) * sizeof(float));
	if (!stage_write(&y->encoder, y->encoder.in[0], y->pictures, e) || !stage_run(&y->encoder, e) ||
	    !stage_read(&y->encoder, y->latents, e))
		return false;
	memcpy(latents, y->latents, (size_t)count * features_values(y) * sizeof(float));
	return true;
}

bool features_decode(feature_encoder *y, const float *latents, int count, float *pictures, error *e)
{
	memcpy(y->latents, latents, (size_t)count * features_values(y) * sizeof(float));
	if (!stage_write(&y->decoder, y->decoder.in[0], y->latents, e) || !stage_run(&y->decoder, e) ||
	    !stage_read(&y->decoder, y->pictures, e))
		return false;
	memcpy(pictures, y->pictures, (size_t)count * features_pixels(y) * sizeof(float));
	return true;
}

/* Means over squares of factor × factor of [side][side][channels]. */
static void average(const float *in, int side, int channels, int factor, float *out)
{
	int to = side / factor;
	for (int y = 0; y < to; y++)
		for (int x = 0; x < to; x++)
			for (int c = 0; c < channels; c++) {
				double sum = 0;
				for (int v = 0; v < factor; v++)
					for (int u = 0; u < factor; u++)
						sum += (double)in[((y * factor + v) * side + x * factor + u) * channels + c];
				out[(y * to + x) * channels + c] = (float)(sum / (factor * factor));
			}
}

static int inside(int at, int side) { return at < 0 ? 0 : at >= side ? side - 1 : at; }

/* [1 2 1]/4 along rows (step = channels) and then along columns; edges repeat. */
static void blur(float *values, float *scratch, int side, int channels)
{
	for (int pass = 0; pass < 2; pass++) {
		memcpy(scratch, values, (size_t)side * (size_t)side * (size_t)channels * sizeof *scratch);
		for (int y = 0; y < side; y++)
			for (int x = 0; x < side; x++)
				for (int c = 0; c < channels; c++) {
					int before = pass ? inside(y - 1, side) * side + x : y * side + inside(x - 1, side);
					int after = pass ? inside(y + 1, side) * side + x : y * side + inside(x + 1, side);
					int at = y * side + x;
					values[at * channels + c] = (scratch[before * channels + c] + 2 * scratch[at * channels + c] +
					                                scratch[after * channels + c]) /
					                            4;
				}
	}
}

void features_reduce(const feature_encoder *y, const float *picture, float *reduced)
{
	average(picture, y->side, 3, y->side / y->latent_side, reduced);
	blur(reduced, y->pictures, y->latent_side, 3); /* the batch's memory serves as scratch */
}

static int pool_side(const feature_encoder *y) { return y->latent_side < PARTS_A_SIDE ? y->latent_side : PARTS_A_SIDE; }

int features_pooled(const feature_encoder *y) { return pool_side(y) * pool_side(y) * y->channels; }

/* A latent whose side is no multiple of four loses what is left over on the right and below. */
void features_pool(const feature_encoder *y, const float *latent, float *pooled)
{
	int to = pool_side(y), factor = y->latent_side / to;
	for (int v = 0; v < to; v++)
		for (int u = 0; u < to; u++)
			for (int c = 0; c < y->channels; c++) {
				double sum = 0;
				for (int i = 0; i < factor; i++)
					for (int k = 0; k < factor; k++)
						sum += (double)latent[((v * factor + i) * y->latent_side + u * factor + k) * y->channels + c];
				pooled[(v * to + u) * y->channels + c] = (float)(sum / (factor * factor));
			}
}
