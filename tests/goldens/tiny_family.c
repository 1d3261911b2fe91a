/* tiny_family.c - see tiny_family.h. */
#include "tiny_family.h"
#include "models/config.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static int axis(const arrays *a, int i, const char *format, ...)
{
	char name[256];
	va_list list;
	va_start(list, format);
	vsnprintf(name, sizeof name, format, list);
	va_end(list);
	dtype d;
	shape s;
	const void *data;
	return array_find(a, name, &d, &s, &data) && i < s.n ? s.d[i] : 0;
}

/* How many of "before.0.after", "before.1.after", … there are. */
static int count_of(const arrays *a, const char *format)
{
	int n = 0;
	char name[256];
	do snprintf(name, sizeof name, format, n);
	while (json_object_get(a->header, name) && ++n);
	return n;
}

static void size_hugging_face(const arrays *a, const char *prefix, clip_config *c)
{
	char format[256];
	c->vocabulary = axis(a, 0, "%s.text_model.embeddings.token_embedding.weight", prefix);
	c->width = axis(a, 1, "%s.text_model.embeddings.token_embedding.weight", prefix);
	c->inner = axis(a, 0, "%s.text_model.encoder.layers.0.mlp.fc1.weight", prefix);
	snprintf(format, sizeof format, "%s.text_model.encoder.layers.%%d.layer_norm1.bias", prefix);
	c->layers = count_of(a, format);
	if (c->projection) c->projection = c->width;
}

static void size_open_clip(const arrays *a, const char *prefix, clip_config *c)
{
	char format[256];
	c->vocabulary = axis(a, 0, "%s.token_embedding.weight", prefix);
	c->width = axis(a, 1, "%s.token_embedding.weight", prefix);
	c->projection = axis(a, 1, "%s.text_projection", prefix);
	c->inner = 4 * c->width;
	snprintf(format, sizeof format, "%s.transformer.resblocks.%%d.ln_1.bias", prefix);
	c->layers = count_of(a, format);
}

static void size_t5(const arrays *a, const char *prefix, t5_config *c)
{
	char format[256];
	c->vocabulary = axis(a, 0, "%s.encoder.embed_tokens.weight", prefix);
	c->width = axis(a, 1, "%s.encoder.embed_tokens.weight", prefix);
	c->heads = axis(a, 1, "%s.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", prefix);
	c->head_width = axis(a, 0, "%s.encoder.block.0.layer.0.SelfAttention.q.weight", prefix) / c->heads;
	c->inner = axis(a, 0, "%s.encoder.block.0.layer.1.DenseReluDense.wi_0.weight", prefix);
	snprintf(format, sizeof format, "%s.encoder.block.%%d.layer.0.layer_norm.weight", prefix);
	c->layers = count_of(a, format);
}

static void size_autoencoder(const arrays *a, vae_config *c)
{
	c->channels = axis(a, 1, "first_stage_model.decoder.conv_out.weight");
	c->levels = count_of(a, "first_stage_model.decoder.up.%d.block.0.norm1.weight");
	c->blocks = count_of(a, "first_stage_model.decoder.up.0.block.%d.norm1.weight") - 1;
	for (int i = 0; i < c->levels; i++)
		c->multiplier[i] = axis(a, 0, "first_stage_model.decoder.up.%d.block.0.conv1.weight", i) / c->channels;
}

static json_t *described(const arrays *a, const char *key)
{
	return json_loads(json_string_value(json_object_get(json_object_get(a->header, "__metadata__"), key)), 0, NULL);
}

static bool read_denoiser(const arrays *a, family *f, error *e)
{
	json_t *unet = described(a, "unet"), *mmdit = described(a, "mmdit");
	bool fine = unet || mmdit;
	if (unet) fine = unet_config_from_json(unet, &f->denoiser.unet, e);
	if (mmdit) {
		mmdit_config *c = &f->denoiser.mmdit;
		fine = mmdit_config_from_json(mmdit, c, e);
		c->positions = (int)json_integer_value(json_object_get(mmdit, "pm"));
		c->context = axis(a, 1, "model.diffusion_model.context_embedder.weight");
		c->vector = axis(a, 1, "model.diffusion_model.y_embedder.mlp.0.weight");
		c->width = axis(a, 0, "model.diffusion_model.context_embedder.weight");
	}
	json_decref(unet);
	json_decref(mmdit);
	return fine;
}

/* Begin and end are the last two of the vocabulary. */
bool tiny_family(const arrays *a, const char *name, const int heads[TEXT_ENCODERS], family *f, error *e)
{
	*f = *family_by_name(name, e);
	if (!read_denoiser(a, f, e)) return false;
	size_autoencoder(a, &f->autoencoder);
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		text_config *t = &f->text[i];
		if (t->kind == T5_TEXT) size_t5(a, f->prefix[TEXT_ENCODER + i], &t->t5);
		if (t->kind != CLIP_TEXT) continue;
		(t->clip.fused ? size_open_clip : size_hugging_face)(a, f->prefix[TEXT_ENCODER + i], &t->clip);
		t->begin = t->clip.vocabulary - 2;
		t->end = t->clip.vocabulary - 1;
		t->clip.heads = heads[i];
		if (t->clip.width % heads[i]) return fail(e, BAD_FILE, "%d channels in %d heads", t->clip.width, heads[i]);
	}
	return true;
}

bool tiny_bind(void *context, const char *name, shape s, dtype *d, const void **data, error *e)
{
	const arrays *a = context;
	shape found;
	char other[512];
	const char *shared = strstr(name, "transformer.shared.weight");
	if (shared && !json_object_get(a->header, name)) { /* files hold either */
		snprintf(other, sizeof other, "%.*stransformer.encoder.embed_tokens.weight", (int)(shared - name), name);
		name = other;
	}
	return (array_find(a, name, d, &found, data) && shape_count(found) == shape_count(s)) ||
	       fail(e, BAD_FILE, "no tensor '%s' of that shape", name);
}
