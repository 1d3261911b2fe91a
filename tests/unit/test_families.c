/* test_families.c - families as data: the table, JSON, recognition, parameter lists, names in other layouts. */
#include "models/config.h"
#include "models/dialects.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A model's parameters as a file would hold them. */
typedef struct listed {
	char name[160];
	shape shape;
	dtype dtype;
} listed;

typedef struct listing {
	listed *list;
	int count, buffers;
	double elements;
} listing;

static void add_parameter(void *context, const parameter *p)
{
	listing *l = context;
	for (int i = 0; i < l->count; i++) assert_string_not_equal(l->list[i].name, p->name);
	l->list = realloc(l->list, (size_t)(l->count + 1) * sizeof *l->list);
	listed *x = &l->list[l->count++];
	assert_true(strlen(p->name) < sizeof x->name);
	strcpy(x->name, p->name);
	x->shape = p->shape;
	x->dtype = p->dtype;
	l->buffers += p->buffer;
	l->elements += (double)shape_count(p->shape);
}

static listing list_all(const family *f)
{
	listing l = { 0 };
	error e = { 0 };
	for (role p = 0; p < FAMILY_ROLES; p++) assert_true(family_parameters(f, p, add_parameter, &l, &e));
	return l;
}

static bool look_up(void *context, const char *key, dtype *d, shape *s, const void **data)
{
	const listing *l = context;
	if (data) *data = NULL;
	for (int i = 0; i < l->count; i++) {
		if (strcmp(l->list[i].name, key)) continue;
		*d = l->list[i].dtype;
		*s = l->list[i].shape;
		return true;
	}
	return false;
}

/* Published parameter counts, buffers included: what the full-size manifests say. */
static void counts_parameters(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		double elements;
		int count;
	} known[] = { { "sd1", 1066235384, 1131 }, { "sd2.1", 1303597228, 1228 }, { "ldm-txt2img", 1537948389, 1356 },
		{ "sd1-inpainting", 1066235384 + 5 * 320 * 9, 1131 } };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		listing l = list_all(family_by_name(known[i].name, NULL));
		assert_int_equal(l.count, known[i].count);
		assert_true(l.elements == known[i].elements);
		free(l.list);
	}
}

static void add_elements(void *context, const parameter *p)
{
	if (!p->buffer) *(double *)context += (double)shape_count(p->shape);
}

/* Denoisers of distilled models; the counts are those of diffusers' classes. */
static void counts_of_distilled(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		double elements;
	} known[] = { { "small-sd", 579384964 }, { "tiny-sd", 323384964 }, { "sdxl", 2567463684 }, { "ssd-1b", 1331334404 },
		{ "segmind-vega", 745225604 } };
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		error e = { 0 };
		double elements = 0;
		assert_true(family_parameters(family_by_name(known[i].name, &e), DENOISER, add_elements, &elements, &e));
		assert_true(elements == known[i].elements);
	}
}

static void recognises_each(void **state)
{
	(void)state;
	const family *f;
	for (int i = 0; (f = family_at(i)); i++) {
		error e = { 0 };
		listing l = list_all(f);
		const family *found = family_recognise(look_up, &l, &e);
		assert_non_null(found);
		/* without the weights' values an SD 2 model is taken for one that predicts noise */
		const char *expected = strcmp(f->name, "sd2.1") ? f->name : "sd2.1-base";
		assert_string_equal(found->name, expected);
		free(l.list);
	}
	listing none = { 0 };
	error e = { 0 }, alone = { 0 };
	assert_null(family_recognise(look_up, &none, &e));
	assert_int_equal(e.status, BAD_FILE);
	family t5 = *family_by_name("sd3-medium", NULL);
	listing encoder = { 0 };
	error own = { 0 };
	assert_true(family_parameters(&t5, TEXT_ENCODER + 2, add_parameter, &encoder, &own));
	assert_null(family_recognise(look_up, &encoder, &alone));
	assert_non_null(strstr(alone.text, "--t5xxl"));
	free(encoder.list);
}

/* InstructPix2Pix has eight channels, Stable Diffusion 2's model of depth five: no family is taken for them. */
static void denoisers_of_no_family(void **state)
{
	(void)state;
	static const struct {
		const char *family;
		int channels;
	} all[] = { { "sd1", 8 }, { "sd2.1-base", 5 }, { "sdxl", 8 } };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		error e = { 0 };
		char expected[32];
		family f = *family_by_name(all[i].family, NULL);
		f.denoiser.unet.in_channels = all[i].channels;
		listing l = list_all(&f);
		assert_null(family_recognise(look_up, &l, &e));
		snprintf(expected, sizeof expected, "is [320, %d, 3, 3]", all[i].channels);
		if (!strstr(e.text, "input_blocks.0.0.weight") || !strstr(e.text, expected)) print_error("%s\n", e.text);
		assert_non_null(strstr(e.text, expected));
		free(l.list);
	}
}

typedef struct sd2_file {
	listing l;
	float bias[320];
} sd2_file;

static bool look_up_values(void *context, const char *key, dtype *d, shape *s, const void **data)
{
	sd2_file *f = context;
	if (!look_up(&f->l, key, d, s, NULL)) return false;
	if (data) *data = f->bias;
	return true;
}

static void tells_velocity_from_noise(void **state)
{
	(void)state;
	sd2_file file = { .l = list_all(family_by_name("sd2.1", NULL)) };
	for (int i = 0; i < 320; i++) file.bias[i] = i % 2 ? 0.2f : -0.2f;
	assert_string_equal(family_recognise(look_up_values, &file, NULL)->name, "sd2.1");
	for (int i = 0; i < 320; i++) file.bias[i] = i % 2 ? 0.05f : -0.05f;
	assert_string_equal(family_recognise(look_up_values, &file, NULL)->name, "sd2.1-base");
	free(file.l.list);
}

static void names_unknown_families(void **state)
{
	(void)state;
	error e = { 0 };
	assert_null(family_by_name("sd9", &e));
	assert_int_equal(e.status, BAD_USAGE);
	assert_non_null(strstr(e.text, "ldm-txt2img"));
	assert_string_equal(family_by_name("sd1.5", NULL)->name, "sd1");
	assert_null(family_at(-1));
}

static void json_round_trip(void **state)
{
	(void)state;
	const family *f;
	for (int i = 0; (f = family_at(i)); i++) {
		error e = { 0 };
		family g;
		char *json = family_to_json(f);
		assert_true(family_from_json(json, &g, &e));
		char *again = family_to_json(&g);
		assert_string_equal(json, again);
		listing a = list_all(f), b = list_all(&g);
		assert_int_equal(a.count, b.count);
		for (int k = 0; k < a.count; k++) {
			assert_string_equal(a.list[k].name, b.list[k].name);
			assert_true(shape_same(a.list[k].shape, b.list[k].shape));
		}
		assert_true(g.latent_scale == f->latent_scale && g.size == f->size && g.text[0].padding == f->text[0].padding);
		free(a.list), free(b.list), free(json), free(again);
	}
}

#define TINY_DD "\"dd\": {\"ch\": 32, \"ch_mult\": [1, 2]}"

static void refuses_bad_configurations(void **state)
{
	(void)state;
	static const struct {
		const char *json, *says;
	} bad[] = {
		{ "", "not JSON" },
		{ "[1]", "not an object" },
		{ "{}", "U-Net" },
		{ "{\"unet\": {}, " TINY_DD "}", "model_channels" },
		{ "{\"unet\": {\"model_channels\": 32}, " TINY_DD "}", "num_heads" },
		{ "{\"unet\": {\"model_channels\": 33, \"num_heads\": 1}, " TINY_DD "}", "33 channels" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 5}, " TINY_DD "}", "heads" },
		{ "{\"unet\": {\"model_channels\": \"x\", \"num_heads\": 4}, " TINY_DD "}", "model_channels" },
		{ "{\"unet\": {\"model_channels\": 1e9, \"num_heads\": 4}, " TINY_DD "}", "model_channels" },
		{ "{\"unet\": {\"model_channels\": 99999999999, \"num_heads\": 4}, " TINY_DD "}", "model_channels" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4, \"channel_mult\": [1,1,1,1,1,1,1,1,1]}, " TINY_DD "}",
		    "channel_mult" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4, \"channel_mult\": [0]}, " TINY_DD "}",
		    "channel_mult" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4, \"num_res_blocks\": [1, 2, 3]}, " TINY_DD "}",
		    "num_res_blocks" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4, \"disable_middle_self_attn\": true}, " TINY_DD "}",
		    "disable_middle_self_attn" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4, \"num_classes\": 10}, " TINY_DD "}", "num_classes" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4, \"pooled_context\": true}, " TINY_DD "}",
		    "context_dim" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4, \"context_dim\": 8, \"pooled_context\": true, "
		  "\"num_classes\": \"sequential\", \"adm_in_channels\": 8}, " TINY_DD "}",
		    "both" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4}}", "autoencoder" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4}, \"dd\": {\"ch\": 32}}", "ch_mult" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4}, " TINY_DD ", \"clip\": {\"hidden_size\": 10, "
		  "\"num_attention_heads\": 3}}",
		    "heads" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4}, " TINY_DD ", \"clip\": {}}", "hidden_size" },
		{ "{\"unet\": {\"model_channels\": 32, \"num_heads\": 4}, " TINY_DD ", \"num_train_timesteps\": 0}",
		    "timesteps" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		error e = { 0 };
		family f;
		assert_false(family_from_json(bad[i].json, &f, &e));
		assert_int_equal(e.status, BAD_FILE);
		if (!strstr(e.text, bad[i].says)) fail_msg("'%s' does not mention '%s'", e.text, bad[i].says);
	}
	family f;
	assert_false(family_from_json("{", &f, NULL));
}

/* The JSON with one key renamed is refused, and the message has the right name. */
static void check_misspelt(const json_t *whole, json_t *object, const char *key)
{
	char slip[80];
	error e = { 0 };
	family f;
	json_t *value = json_incref(json_object_get(object, key));
	size_t n = strlen(key);
	snprintf(slip, sizeof slip, "%.*s%s", (int)n / 2, key, key + n / 2 + 1); /* a letter is missing */
	json_object_del(object, key);
	json_object_set(object, slip, value);
	char *json = json_dumps(whole, 0);
	if (family_from_json(json, &f, &e)) fail_msg("'%s' for '%s' is passed over: see config_keys.c", slip, key);
	char wanted[96];
	snprintf(wanted, sizeof wanted, "did you mean '%s'?", key);
	if (!strstr(e.text, wanted)) fail_msg("'%s' does not say %s", e.text, wanted);
	json_object_del(object, slip);
	json_object_set_new(object, key, value);
	free(json);
}

/* Every key that is written is one whose misspelling is found, in each part of each family. */
static void refuses_misspelt_keys(void **state)
{
	(void)state;
	enum { SHORTEST = 5 };
	const family *f;
	for (int i = 0; (f = family_at(i)); i++) {
		char *json = family_to_json(f), *keys[200];
		json_t *whole = json_loads(json, 0, NULL), *part, *value;
		const char *name, *key;
		json_object_foreach(whole, name, part)
		{
			int count = 0;
			json_object_foreach(part, key, value) if (strlen(key) >= SHORTEST) keys[count++] = strdup(key);
			for (int k = 0; k < count; k++) {
				check_misspelt(whole, part, keys[k]);
				free(keys[k]);
			}
		}
		free(json);
		json_decref(whole);
	}
	error e = { 0 };
	family g;
	assert_false(family_from_json(
	    "{\"predction_type\": \"flow\", \"unet\": {\"model_channels\": 32, \"num_heads\": 4}, " TINY_DD "}", &g, &e));
	assert_non_null(strstr(e.text, "'predction_type' is no key that is known: did you mean 'prediction_type'?"));
	assert_true(family_from_json("{\"#\": \"a remark\", \"unet\": {\"model_channels\": 32, \"num_heads\": 4, "
	                             "\"use_checkpoint\": true}, " TINY_DD "}",
	    &g, NULL));
}

static void ignores_buffers(void **state)
{
	(void)state;
	const family *f = family_by_name("sd1", NULL);
	assert_true(family_ignores(f, "betas"));
	assert_true(family_ignores(f, "model_ema.diffusion_modelout2bias"));
	assert_true(family_ignores(f, "first_stage_model.loss.logvar"));
	assert_true(family_ignores(f, "cond_stage_model.transformer.text_model.embeddings.position_ids"));
	assert_false(family_ignores(f, "model.diffusion_model.out.2.bias"));
	assert_false(family_ignores(f, "betas2"));
}

static void fills_parameters(void **state)
{
	(void)state;
	enum { N = 10000 };
	static float a[N], b[N];
	parameter p = {
		.name = "x.weight", .shape = shape2(100, N / 100), .dtype = F32, .start = { UNIFORM_START, 0.1f }, .zero = true
	};
	parameter_fill(&p, 1, false, a);
	parameter_fill(&p, 1, false, b);
	assert_memory_equal(a, b, sizeof a);
	parameter_fill(&p, 2, false, b);
	assert_memory_not_equal(a, b, sizeof a);
	double sum = 0, squares = 0;
	for (int i = 0; i < N; i++) {
		assert_true(a[i] >= -0.1f && a[i] <= 0.1f);
		sum += (double)a[i];
	}
	assert_true(sum / N < 0.003 && sum / N > -0.003);
	p.start = (initial){ NORMAL_START, 2 };
	parameter_fill(&p, 1, false, a);
	for (int i = 0; i < N; i++) squares += (double)a[i] * (double)a[i];
	assert_true(squares / N > 3.8 && squares / N < 4.2);
	parameter_fill(&p, 1, true, a);
	for (int i = 0; i < N; i++) assert_true(a[i] == 0);
	int64_t ids[77];
	p = (parameter){ .name = "ids", .shape = shape2(1, 77), .dtype = I64, .start = { COUNTING_START, 0 } };
	parameter_fill(&p, 1, true, ids);
	assert_int_equal(ids[76], 76);
}

static void names_in_folders(void **state)
{
	(void)state;
	const family *f = family_by_name("sd2.1", NULL);
	key_piece p[MAX_PIECES];
	const char *key = "cond_stage_model.model.transformer.resblocks.3.attn.in_proj_weight";
	assert_int_equal(diffusers_pieces(f, TEXT_ENCODER, key, shape2(3072, 1024), p), 3);
	assert_string_equal(p[2].name, "text_model.encoder.layers.3.self_attn.v_proj.weight");
	assert_int_equal(p[2].first, 2048);
	assert_int_equal(p[2].rows, 1024);
	key = "cond_stage_model.model.text_projection";
	assert_int_equal(diffusers_pieces(f, TEXT_ENCODER, key, shape2(1024, 512), p), 1);
	assert_true(p[0].transposed && p[0].shape.d[0] == 512);
	assert_int_equal(diffusers_pieces(f, DENOISER, "model.diffusion_model.input_blocks.99.0.op.bias", shape1(1), p), 0);
	assert_int_equal(diffusers_pieces(f, DENOISER, "model.diffusion_model.nonsense", shape1(1), p), 0);
	char other[256];
	static const char key_of_to_out[] = "encoder.mid_block.attentions.0.to_out.0.weight";
	assert_true(dialect_synonym(AUTOENCODER, key_of_to_out, 2, other, sizeof other));
	assert_string_equal(other, "encoder.mid_block.attentions.0.proj_attn.weight");
	assert_false(dialect_synonym(AUTOENCODER, "decoder.conv_in.weight", 0, other, sizeof other));
	assert_false(dialect_synonym(DENOISER, "x.to_q.weight", 0, other, sizeof other));
	const family *sd3 = family_by_name("sd3.5-medium", NULL);
	key = "model.diffusion_model.joint_blocks.23.context_block.adaLN_modulation.1.bias";
	assert_int_equal(diffusers_pieces(sd3, DENOISER, key, shape1(3072), p), 1);
	assert_true(p[0].swapped && in_pieces(p, 1));
	key = "model.diffusion_model.joint_blocks.22.context_block.adaLN_modulation.1.bias";
	assert_int_equal(diffusers_pieces(sd3, DENOISER, key, shape1(9216), p), 1);
	assert_false(in_pieces(p, 1));
	assert_int_equal(piece_number("a.weight#2", other, sizeof other), 2);
	assert_string_equal(other, "a.weight");
	assert_int_equal(piece_number("a.weight", other, sizeof other), -1);
	assert_string_equal(diffusers_folder(sd3, DENOISER), "transformer");
	assert_string_equal(diffusers_folder(family_by_name("sdxl-refiner", NULL), TEXT_ENCODER), "text_encoder_2");
	family g = diffusers_layout(f);
	assert_int_equal(g.text[0].clip.layers, 23);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_parameters),
		cmocka_unit_test(counts_of_distilled),
		cmocka_unit_test(recognises_each),
		cmocka_unit_test(denoisers_of_no_family),
		cmocka_unit_test(tells_velocity_from_noise),
		cmocka_unit_test(names_unknown_families),
		cmocka_unit_test(json_round_trip),
		cmocka_unit_test(refuses_bad_configurations),
		cmocka_unit_test(refuses_misspelt_keys),
		cmocka_unit_test(ignores_buffers),
		cmocka_unit_test(fills_parameters),
		cmocka_unit_test(names_in_folders),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
