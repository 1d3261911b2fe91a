/* test_train_diffusion.c - training on a small set of coloured squares: a model learns their words, one batch by heart;
 * a LoRA and a new word change what it draws as their pictures say; a checkpoint comes back in its layout. */
#include "squares.h"
#include "tiny_families.h"
#include "backend/backend.h"
#include "io/weights.h"
#include "train/objective/diffusion.h"
#include "train/run/setup.h"
#include "train/run/stepper.h"

static char model_config[sizeof sd1 + 16];

static int make_base(void **state)
{
	if (scratch_make(state)) return -1;
	write_squares("squares", "red", red, "a red thing");
	write_squares("squares", "green", green, "a green thing");
	write_squares("squares", "blue", blue, "a blue thing");
	snprintf(model_config, sizeof model_config, "model_config=%s", sd1);
	RUN(TRAIN_AUTOENCODER, model_config, "train_data_dir=squares", "output=vae.safetensors", "max_train_steps=80",
	    "train_batch_size=8", "learning_rate=3e-3");
	RUN(TRAIN_DIFFUSION, model_config, "train_data_dir=squares", "vae=vae.safetensors", "output=base.safetensors",
	    "train_batch_size=8", "max_train_steps=110", "learning_rate=4e-3", "train_text_encoder=true",
	    "prediction_type=flow", "validation_prompts=a red thing|a green thing", "validation_steps=110",
	    "validation_guidance=1", "validation_inference_steps=8");
	return 0;
}

static void test_words_are_learned(void **state)
{
	(void)state;
	const char *base = scratch_path("base.safetensors");
	assert_true(redness(drawn(base, "a red thing", NULL, NULL)) > 80);
	assert_true(redness(drawn(base, "a green thing", NULL, NULL)) < 0);
	assert_true(redness(drawn(base, "a blue thing", NULL, NULL)) < 0);
}

static void test_samples_are_one_picture(void **state)
{
	(void)state;
	error e = { 0 };
	picture p;
	assert_true(picture_read(&p, scratch_path("base.training/sample-110.png"), 1 << 20, &e));
	assert_int_equal(p.width, 2 * SIDE);
	assert_int_equal(p.height, SIDE);
	assert_true(redness(mean(p.rgb, 0, 0, p.width)) > 80);
	assert_true(redness(mean(p.rgb, SIDE, 0, p.width)) < 0);
	picture_free(&p);
}

/* The pictures say that what is called green is red. */
static void test_lora_changes_the_picture(void **state)
{
	(void)state;
	write_squares("lora", "red", red, "a green thing");
	RUN(TRAIN_LORA, "model=base.safetensors", "train_data_dir=lora", "output=lora.safetensors", "train_batch_size=8",
	    "max_train_steps=40", "learning_rate=1e-2", "network_dim=4", "network_conv=true", "network_dropout=0.1",
	    "train_text_encoder=true", "validation_prompts=a green thing", "validation_steps=40", "validation_guidance=1",
	    "validation_inference_steps=8");
	const char *base = scratch_path("base.safetensors"), *file = scratch_path("lora.safetensors");
	char half[200];
	snprintf(half, sizeof half, "%s:0", file);
	double without = redness(drawn(base, "a green thing", NULL, NULL));
	assert_true(redness(drawn(base, "a green thing", file, NULL)) > without + 100);
	assert_true(redness(drawn(base, "a green thing", half, NULL)) < without + 1);
	error e = { 0 };
	picture p; /* what was drawn from memory before the file was written */
	assert_true(picture_read(&p, scratch_path("lora.training/sample-40.png"), 1 << 20, &e));
	assert_true(redness(mean(p.rgb, 0, 0, SIDE)) > without + 100);
	picture_free(&p);
}

static void test_lora_file_is_kohyas(void **state)
{
	(void)state;
	error e = { 0 };
	weights *w = weights_open(scratch_path("lora.safetensors"), &e);
	assert_non_null(w);
	assert_string_equal(weights_metadata(w, "ss_network_dim"), "4");
	assert_string_equal(weights_metadata(w, "ss_network_alpha"), "4");
	assert_string_equal(weights_metadata(w, "ss_network_module"), "networks.lora");
	const weight *down =
	    weights_find(w, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight");
	const weight *conv = weights_find(w, "lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight");
	const weight *up = weights_find(w, "lora_unet_down_blocks_0_resnets_0_conv1.lora_up.weight");
	const weight *alpha = weights_find(w, "lora_te_text_model_encoder_layers_0_mlp_fc1.alpha");
	assert_true(down && conv && up && alpha);
	assert_true(down->ndims == 2 && down->shape[0] == 4 && down->shape[1] == 32 && down->dtype == F16);
	assert_true(conv->ndims == 4 && conv->shape[0] == 4 && conv->shape[2] == 3);
	assert_true(up->ndims == 4 && up->shape[0] == 32 && up->shape[1] == 4 && up->shape[3] == 1);
	assert_int_equal(alpha->ndims, 0);
	weights_close(w);
}

static void test_new_word(void **state)
{
	(void)state;
	write_squares("word", "red", red, "a zork thing");
	mkdir(scratch_path("words"), 0777);
	RUN(TRAIN_EMBEDDING, "model=base.safetensors", "train_data_dir=word", "output=words/zork.safetensors",
	    "train_batch_size=8", "max_train_steps=70", "learning_rate=2e-2", "placeholder_token=zork",
	    "initializer_token=green", "num_vectors=2", "adam_weight_decay=0");
	const char *base = scratch_path("base.safetensors"), *words = scratch_path("words");
	double before = redness(drawn(base, "a green green thing", NULL, NULL));
	assert_true(redness(drawn(base, "a Zork thing", NULL, words)) > before + 100);
	double green_now = redness(drawn(base, "a green green thing", NULL, words));
	assert_true(green_now < before + 1 && green_now > before - 1); /* other words mean what they meant */
}

/* One batch: eight pictures with their captions, and to each its own noise, time and sample of the latent, the same in
 * every step, since all are drawn from the sample's seed. The loss is the mean squared error of what the model is to
 * answer, over the batch. */
static void test_one_batch_by_heart(void **state)
{
	(void)state;
	error e = { 0 };
	train_options o;
	diffusion d;
	set_options(&o, TRAIN_DIFFUSION,
	    (const char *const[]){ model_config, "vae=vae.safetensors", "train_data_dir=squares", "output=o.safetensors",
	        "train_batch_size=8", "train_text_encoder=true", "threads=1", "seed=3", NULL });
	assert_true(diffusion_open(&d, &o, true, o.train_text_encoder, NULL, &e));
	data_options source = data_options_of(&o, NULL, SIDE);
	assert_true(diffusion_prepare_latents(&d, &source, NULL, &e));
	data *pictures = data_open(&source, &e);
	data_batch batch;
	assert_true(pictures && data_next(pictures, &batch, &e));
	task t = { .learner = &d.learner, .context = &d, .build = diffusion_build, .fill = diffusion_fill };
	team *alone = team_join(&e);
	stepper *s = stepper_new(&t, &o, alone, 1, &e);
	double first = 0, last = 0;
	for (int step = 0; step < 400 && (!step || last > 0.01 * first); step++) {
		step_result r = { 0 };
		assert_true(stepper_gradients(s, &batch, &r.loss, &e));
		assert_true(stepper_apply(s, step, step < 200 ? 4e-3 : 1e-3, 1, &r, &e));
		last = r.loss;
		if (!step) first = last;
	}
	if (!(last < 0.01 * first)) fail_saying("from %g to %g\n", first, last);
	stepper_free(s);
	team_leave(alone, true);
	data_close(pictures);
	diffusion_close(&d);
	train_options_free(&o);
}

/* ── class pictures ── */
static void test_class_pictures(void **state)
{
	(void)state;
	error e = { 0 };
	train_options o;
	diffusion d;
	write_squares("own", "red", red, "");
	write_squares("class", "green", green, "");
	write_squares("class", "blue", blue, "a blue thing");
	set_options(&o, TRAIN_DIFFUSION,
	    (const char *const[]){ "model=base.safetensors", "train_data_dir=own", "class_data_dir=class",
	        "instance_prompt=a zork", "class_prompt=a thing", "prior_loss_weight=0.25", "output=c.safetensors",
	        "train_batch_size=12", "threads=1", NULL });
	assert_true(diffusion_open(&d, &o, true, o.train_text_encoder, NULL, &e));
	data_options source = data_options_of(&o, NULL, SIDE);
	assert_true(diffusion_prepare_latents(&d, &source, NULL, &e));
	data *pictures = data_open(&source, &e);
	data_batch b;
	assert_true(pictures && data_next(pictures, &b, &e));
	assert_int_equal(data_count(pictures), 12); /* six of the class, so each of the three others twice */
	nn n = { .g = graph_new(REAL) };
	diffusion_build(&d, &n, 12, SIDE, SIDE);
	assert_true(graph_bind(n.g, learner_bind, &d.learner, &e) && graph_compile(n.g, backend_cpu(), 1, &e) &&
	            graph_allocate(n.g, NULL, NULL, &e) && diffusion_fill(&d, n.g, &b, &e));
	const float *importance = graph_address(n.g, find(n.g, "weight"));
	int own = 0, named = 0;
	for (int i = 0; i < 12; i++) {
		bool of_class = b.index[i] >= 6;
		own += !of_class;
		assert_true(importance[i] == (of_class ? 0.25f : 1.f));
		named += !strcmp(b.captions[i], "a blue thing");
		if (!of_class) assert_string_equal(b.captions[i], "a zork");
	}
	assert_int_equal(own, 6);
	assert_int_equal(named, 3);
	graph_free(n.g);
	data_close(pictures);
	diffusion_close(&d);
	train_options_free(&o);
}

/* ── fine-tuning ── */
static bool is_trained(const char *key) { return !strncmp(key, "model.diffusion_model.", 22); }

/* The golden model as a file and as a folder, f16: trained alike, written with the keys of the single file, what does
 * not train untouched; and the pipeline opens it. */
static void test_fine_tuning_keeps_the_layout(void **state)
{
	(void)state;
	error e = { 0 };
	write_squares("own", "red", red, "a red thing");
	RUN(TRAIN_DIFFUSION, "model=" GOLDEN_DIR "/sd1/model.safetensors", "train_data_dir=own", "output=file.safetensors",
	    "train_batch_size=2", "max_train_steps=2", "resolution=32", "gradient_checkpointing=true");
	RUN(TRAIN_DIFFUSION, "model=" GOLDEN_DIR "/sd1/diffusers", "train_data_dir=own", "output=folder.safetensors",
	    "train_batch_size=2", "max_train_steps=2", "resolution=32", "gradient_checkpointing=true");
	weights *old = weights_open(GOLDEN_DIR "/sd1/model.safetensors", &e);
	weights *a = weights_open(scratch_path("file.safetensors"), &e),
	        *b = weights_open(scratch_path("folder.safetensors"), &e);
	assert_true(old && a && b);
	int changed = 0;
	for (size_t i = 0; i < weights_count(a); i++) {
		const weight *x = weights_at(a, i), *y = weights_find(b, x->name), *was = weights_find(old, x->name);
		assert_true(was != NULL);
		assert_int_equal(x->dtype, is_trained(x->name) ? F32 : was->dtype);
		if (!y && strstr(x->name, "position_ids")) continue; /* newer folders lack it */
		assert_true(y && y->bytes == x->bytes && !memcmp(x->data, y->data, x->bytes));
		if (!is_trained(x->name)) assert_memory_equal(x->data, was->data, x->bytes);
		changed += is_trained(x->name);
	}
	assert_true(changed > 300);
	weights_close(old);
	weights_close(a);
	weights_close(b);
	model *m = model_open(scratch_path("file.safetensors"), NULL, &e);
	if (!m) fail_saying("%s\n", e.text);
	model_close(m);
}

/* How far a run of one step of plain descent went from the base, in the largest element of a weight. */
static double moved(const char *file, const char *name)
{
	error e = { 0 };
	weights *from = weights_open(scratch_path("base.safetensors"), &e), *to = weights_open(scratch_path(file), &e);
	assert_true(from && to);
	const weight *a = weights_find(from, name), *b = weights_find(to, name);
	assert_true(a && b && a->dtype == F32 && b->dtype == F32);
	double most = 0;
	for (size_t i = 0; i < weight_elements(a); i++)
		most = fmax(most, fabs((double)((const float *)b->data)[i] - (double)((const float *)a->data)[i]));
	weights_close(from);
	weights_close(to);
	return most;
}

static void test_tokens_have_a_rate_of_their_own(void **state)
{
	(void)state;
#define ONE_STEP                                                                                                    \
	"model=base.safetensors", "train_data_dir=squares", "max_train_steps=1", "train_batch_size=8", "optimizer=sgd", \
	    "momentum=0", "adam_weight_decay=0", "train_text_encoder=true", "learning_rate=0.5"
#define TABLE(name) "cond_stage_model.transformer.text_model.embeddings." name "_embedding.weight"
	RUN(TRAIN_DIFFUSION, ONE_STEP, "output=same.safetensors");
	RUN(TRAIN_DIFFUSION, ONE_STEP, "embedding_lr=2", "output=own.safetensors");
	double tokens = moved("same.safetensors", TABLE("token")), places = moved("same.safetensors", TABLE("position"));
	assert_true(tokens > 0 && places > 0);
	assert_float_equal(moved("own.safetensors", TABLE("token")) / tokens, 4, 0.02);
	assert_float_equal(moved("own.safetensors", TABLE("position")) / places, 1, 0.02);
}

static void test_refusals(void **state)
{
	(void)state;
	static const char *const lists[][4] = {
		{ "train_data_dir=squares", "output=x.safetensors", NULL },
		{ "train_data_dir=squares", "output=x.safetensors", "model=missing.safetensors", NULL },
		{ "train_data_dir=none", "output=x.safetensors", "model=base.safetensors", NULL },
	};
	static const char *const words[] = { "--model", "missing.safetensors", "none" };
	for (int i = 0; i < 3; i++) {
		error e = { 0 };
		train_options o;
		set_options(&o, TRAIN_LORA, lists[i]);
		assert_false(train_run(TRAIN_LORA, &o, NULL, &e));
		assert_says(e, words[i]);
		train_options_free(&o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_are_learned),
		cmocka_unit_test(test_samples_are_one_picture),
		cmocka_unit_test(test_lora_changes_the_picture),
		cmocka_unit_test(test_lora_file_is_kohyas),
		cmocka_unit_test(test_new_word),
		cmocka_unit_test(test_one_batch_by_heart),
		cmocka_unit_test(test_class_pictures),
		cmocka_unit_test(test_fine_tuning_keeps_the_layout),
		cmocka_unit_test(test_tokens_have_a_rate_of_their_own),
		cmocka_unit_test(test_refusals),
	};
	return cmocka_run_group_tests(tests, make_base, scratch_remove);
}
