/* test_train_families.c - training of models with several text encoders, a vector condition, or flow, as SDXL and
 * Stable Diffusion 3 are: tiny ones learn the words of coloured squares, and LoRAs change them as their pictures say.
 */
#include "squares.h"
#include "converting.h"
#include "tiny_families.h"
#include "backend/backend.h"
#include "base/file.h"
#include "io/weights.h"
#include "pipeline/conditioning.h"
#include "train/objective/diffusion.h"
#include "train/run/setup.h"

/* ── the models ── */
static int make_models(void **state)
{
	if (scratch_make(state)) return -1;
	write_squares("squares", "red", red, "a red thing");
	write_squares("squares", "green", green, "a green thing");
	write_squares("squares", "blue", blue, "a blue thing");
	init_model("xl", xl, true);
	init_model("sd3", sd3, true);
	RUN(TRAIN_AUTOENCODER, "model=xl-new.safetensors", "train_data_dir=squares", "output=vae.safetensors",
	    "max_train_steps=80", "train_batch_size=8", "learning_rate=3e-3");
#define BASE                                                                                      \
	"vae=vae.safetensors", "train_data_dir=squares", "max_train_steps=110", "train_batch_size=8", \
	    "learning_rate=4e-3", "train_text_encoder=true"
	RUN(TRAIN_DIFFUSION, BASE, "model=xl-new.safetensors", "output=xl.safetensors");
	RUN(TRAIN_DIFFUSION, BASE, "model=sd3-new.safetensors", "output=sd3.safetensors");
	return 0;
}

static void test_words_are_learned(void **state)
{
	(void)state;
	static const char *const names[] = { "xl.safetensors", "sd3.safetensors" };
	for (int i = 0; i < 2; i++) {
		const char *base = scratch_path(names[i]);
		assert_true(redness(drawn(base, "a red thing", NULL, NULL)) > 80);
		assert_true(redness(drawn(base, "a green thing", NULL, NULL)) < 0);
	}
}

/* The pictures say that what is called green is red. The second file is written from the first run's last checkpoint:
 * what learns is the same under either name. */
static void try_lora(const char *base, const char *keys, const char *resume, const char *prefix)
{
	error e = { 0 };
	char from[64], names[64];
	snprintf(from, sizeof from, "model=%s", base);
	snprintf(names, sizeof names, "network_keys=%s", keys);
	write_squares("lora", "red", red, "a green thing");
	RUN(TRAIN_LORA, from, names, "train_data_dir=lora", "output=lora.safetensors", "train_batch_size=8",
	    "max_train_steps=24", "learning_rate=1e-2", "network_dim=4", "network_alpha=2", "train_text_encoder=true",
	    "optimizer=adamw8bit", "gradient_checkpointing=true", resume);
	const char *model_path = scratch_path(base), *file = scratch_path("lora.safetensors");
	double without = redness(drawn(model_path, "a green thing", NULL, NULL));
	assert_true(redness(drawn(model_path, "a green thing", file, NULL)) > without + 100);
	weights *w = weights_open(file, &e);
	assert_non_null(w);
	int found = 0;
	for (size_t i = 0; i < weights_count(w); i++) found += !strncmp(weights_at(w, i)->name, prefix, strlen(prefix));
	if (!found) fail_saying("no key begins with %s\n", prefix);
	weights_close(w);
}

static void test_loras_change_the_picture(void **state)
{
	(void)state;
	try_lora("xl.safetensors", "kohya",
	    "resume_from_checkpoint=", "lora_te2_text_model_encoder_layers_1_self_attn_q_proj.lora_down");
	try_lora("xl.safetensors", "peft", "resume_from_checkpoint=latest",
	    "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.lora_A");
	try_lora(
	    "sd3.safetensors", "kohya", "resume_from_checkpoint=", "lora_unet_joint_blocks_0_x_block_attn2_qkv.lora_up");
	try_lora("sd3.safetensors", "peft", "resume_from_checkpoint=latest",
	    "transformer.transformer_blocks.1.norm1_context.linear.lora_B");
}

/* A word that both encoders learn, each in vectors of its own. */
static void try_word(const char *base, const char *prompt_before)
{
	error e = { 0 };
	char from[64];
	snprintf(from, sizeof from, "model=%s", base);
	write_squares("word", "red", red, "a zork thing");
	mkdir(scratch_path("words"), 0777);
	RUN(TRAIN_EMBEDDING, from, "train_data_dir=word", "output=words/zork.safetensors", "train_batch_size=8",
	    "max_train_steps=50", "learning_rate=3e-2", "placeholder_token=zork", "initializer_token=green",
	    "num_vectors=2", "adam_weight_decay=0");
	const char *file = scratch_path(base), *folder = scratch_path("words");
	double before = redness(drawn(file, prompt_before, NULL, NULL));
	assert_true(redness(drawn(file, "a Zork thing", NULL, folder)) > before + 100);
	double now = redness(drawn(file, prompt_before, NULL, folder));
	assert_true(now < before + 1 && now > before - 1); /* other words mean what they meant */
	weights *w = weights_open(scratch_path("words/zork.safetensors"), &e);
	const weight *l = w ? weights_find(w, "clip_l") : NULL, *g = w ? weights_find(w, "clip_g") : NULL;
	assert_true(l && g && weights_count(w) == 2);
	assert_true(l->shape[0] == 2 && l->shape[1] == 16 && g->shape[0] == 2 && g->shape[1] == 32);
	weights_close(w);
}

static void test_new_words(void **state)
{
	(void)state;
	try_word("xl.safetensors", "a green green thing");
	try_word("sd3.safetensors", "a green green thing");
}

/* ── conditions ── */
typedef struct opened {
	train_options options;
	diffusion d;
	data_options source;
	data *pictures;
	data_batch batch;
	graph *g;
	tensor loss;
} opened;

/* A graph of the model, filled with the first batch of the folder. */
static void open_batch(opened *y, int height, int width, const char *const *settings)
{
	error e = { 0 };
	set_options(&y->options, TRAIN_DIFFUSION, settings);
	if (!diffusion_open(&y->d, &y->options, true, y->options.train_text_encoder, NULL, &e)) fail_saying("%s\n", e.text);
	y->source = data_options_of(&y->options, NULL, y->d.learner.family.size);
	if (!diffusion_prepare_latents(&y->d, &y->source, NULL, &e)) fail_saying("%s\n", e.text);
	y->pictures = data_open(&y->source, &e);
	assert_true(y->pictures && data_next(y->pictures, &y->batch, &e));
	assert_int_equal(y->batch.height, height);
	assert_int_equal(y->batch.width, width);
	y->g = graph_new(REAL);
	nn n = { .g = y->g };
	y->loss = diffusion_build(&y->d, &n, y->batch.count, height, width);
	keep(y->g, y->loss);
	bool fine = graph_bind(y->g, learner_bind, &y->d.learner, &e) && graph_compile(y->g, backend_cpu(), 1, &e) &&
	            graph_allocate(y->g, NULL, NULL, &e) && diffusion_fill(&y->d, y->g, &y->batch, &e);
	if (!fine) fail_saying("%s\n", e.text);
}
#define OPEN(y, height, width, ...) open_batch(y, height, width, (const char *const[]){ __VA_ARGS__, NULL })

static void close_batch(opened *y)
{
	graph_free(y->g);
	data_close(y->pictures);
	diffusion_close(&y->d);
	train_options_free(&y->options);
}

static void expect_sizes(const opened *y, double h, double w, double top, double left, double th, double tw)
{
	double sizes[] = { h, w, top, left, th, tw };
	float expected[6 * SIZE_SINUSOIDS];
	size_waves(sizes, 6, expected);
	assert_memory_equal(graph_address(y->g, find(y->g, "sizes")), expected, sizeof expected);
}

/* SDXL is told how its pictures were cut, the same whether they come from a cache or not. */
static void test_sizes(void **state)
{
	(void)state;
	error e = { 0 };
	picture p;
	mkdir(scratch_path("wide"), 0777);
	assert_true(picture_new(&p, 80, 40, &e));
	memset(p.rgb, 200, 80 * 40 * 3);
	assert_true(picture_write(&p, scratch_path("wide/a.png"), NULL, 0, &e));
	picture_free(&p);
	opened y;
#define WIDE "model=xl.safetensors", "train_data_dir=wide", "output=s.safetensors", "train_batch_size=1"
	for (int cached = 0; cached < 2; cached++) {
		OPEN(&y, 16, 16, WIDE, cached ? "cache_latents=true" : "cache_latents=false");
		expect_sizes(&y, 40, 80, 0, 8, 16, 16); /* 80×40 is made 32×16, and 16×16 is cut from its middle */
		close_batch(&y);
	}
	OPEN(&y, 8, 24, WIDE, "bucket_step=8", "bucket_min=8", "bucket_max=32");
	expect_sizes(&y, 40, 80, 2, 0, 8, 24); /* made 24×12 */
	close_batch(&y);
}

/* A caption that is dropped is an empty prompt, or zeros in place of all that the encoders give. */
static void test_dropped_captions(void **state)
{
	(void)state;
	error e = { 0 };
	opened y;
#define DROPPED "train_data_dir=squares", "output=d.safetensors", "train_batch_size=2", "caption_dropout=1"
	static const char *const models[] = { "model=xl.safetensors", "model=sd3.safetensors" };
	for (int i = 0; i < 2; i++) {
		OPEN(&y, 16, 16, DROPPED, models[i], "dropped_captions=zeros");
		const float *kept = graph_address(y.g, find(y.g, "kept"));
		assert_true(kept[0] == 0 && kept[1] == 0);
		close_batch(&y);
		OPEN(&y, 16, 16, DROPPED, models[i]);
		assert_int_equal(find(y.g, "kept"), 0);
		const char *none = "";
		caption_encoder *c = words_new(&y.d.learner, 1, y.d.conditions.texts.tokenizers[1], 1, 16, REAL, 1, &e);
		const float *empty = c ? words_run(c, &none, 1, &e) : NULL, *states = graph_address(y.g, find(y.g, "states.1")),
		            *pooled = graph_address(y.g, find(y.g, "pooled.1"));
		size_t n = 16 * 32;
		assert_true(empty && words_each(c) == n + 32);
		for (size_t k = 0; k < n; k++) assert_true(fabsf(states[k] - empty[k]) < 1e-5f);
		for (size_t k = 0; k < 32; k++) assert_true(fabsf(pooled[k] - empty[n + k]) < 1e-5f);
		words_free(c);
		close_batch(&y);
	}
}

/* The context of a training step is that of the pipeline, and so is the vector: the loss of one batch is the same
 * whether the encoders are part of the graph, at work next to it, or were, for a cache. */
static void test_encoders_agree(void **state)
{
	(void)state;
	error e = { 0 };
	static const char *const models[] = { "model=xl.safetensors", "model=sd3.safetensors" };
	for (int i = 0; i < 2; i++) {
		float loss[3];
		for (int k = 0; k < 3; k++) {
			static const char *const ways[] = { "train_text_encoder=true", "cache_text=false", "cache_text=true" };
			opened y;
			OPEN(
			    &y, 16, 16, models[i], "train_data_dir=squares", "output=e.safetensors", "train_batch_size=4", ways[k]);
			assert_int_equal(y.d.conditions.cached[0], k == 2);
			assert_true(graph_run(y.g, NULL, NULL, &e) && graph_read(y.g, y.loss, &loss[k], &e));
			close_batch(&y);
		}
		assert_true(loss[0] > 0 && fabsf(loss[1] - loss[0]) < 1e-5f * loss[0] && loss[1] == loss[2]);
	}
}

/* Stable Diffusion 3's encoders may each lie in a file of its own, or nowhere; T5 may read longer captions. */
static void test_encoders_apart(void **state)
{
	(void)state;
	error e = { 0 };
	train_options o;
	char json[80];
	snprintf(json, sizeof json, "model_config=%s", scratch_path("sd3.json"));
#define APART "vae=vae.safetensors", "train_data_dir=squares", "output=apart.safetensors", "max_train_steps=1"
	RUN(TRAIN_DIFFUSION, APART, json, "t5xxl=sd3.safetensors", "max_sequence_length=100", "train_batch_size=2");
	RUN(TRAIN_DIFFUSION, APART, json, "clip_l=sd3.safetensors", "clip_g=sd3.safetensors", "train_batch_size=2",
	    "train_text_encoder=true");
	weights *w = weights_open(scratch_path("apart.safetensors"), &e);
	assert_non_null(w);
	assert_non_null(weights_find(w, "text_encoders.clip_g.transformer.text_model.final_layer_norm.weight"));
	assert_null(weights_find(w, "text_encoders.t5xxl.transformer.shared.weight"));
	weights_close(w);
	static const char *const wrong[][2] = { { "clip_l=vae.safetensors", "not the text encoder" },
		{ "weighting_scheme=cosmap", NULL }, { "resolution=24", "no multiple of 4" } };
	for (int i = 0; i < 3; i++) {
		set_options(&o, TRAIN_DIFFUSION,
		    (const char *const[]){ APART, json, wrong[i][0], "train_batch_size=2", "threads=1", NULL });
		if (i == 2) train_options_set(&o, TRAIN_DIFFUSION, "resolution", "22", &e);
		assert_int_equal(train_run(TRAIN_DIFFUSION, &o, NULL, &e), wrong[i][1] == NULL);
		if (wrong[i][1]) assert_says(e, wrong[i][1]);
		e = (error){ 0 };
		train_options_free(&o);
	}
}

/* ── folders ── */
static void draw(const char *model_name, const char *added, uint8_t *pixels)
{
	error e = { 0 };
	sumi_error own = { 0 };
	sumi_model_options how = sumi_model_defaults();
	how.threads = 1;
	how.type = "f32";
	how.loras = &added;
	how.lora_count = added != NULL;
	model *m = model_open(scratch_path(model_name), &how, &e);
	if (!m) fail_saying("%s\n", e.text);
	sumi_options o = sumi_defaults();
	o.prompt = "a red thing";
	o.steps = 3;
	sumi_image *image = sumi_generate(m, &o, &own);
	if (!image) fail_saying("%s\n", own.text);
	memcpy(pixels, image->pixels, SIDE * SIDE * 3);
	sumi_image_free(image);
	model_close(m);
}

static void same_pixels(const char *model_a, const char *lora_a, const char *model_b, const char *lora_b)
{
	uint8_t a[SIDE * SIDE * 3], b[SIDE * SIDE * 3];
	draw(model_a, lora_a, a);
	draw(model_b, lora_b, b);
	for (size_t i = 0; i < sizeof a; i++) assert_in_range(a[i] + 1 - b[i], 0, 2);
}

/* From a diffusers folder, where Stable Diffusion 3 has weights in pieces, each job makes what it makes from a file,
 * but for rounding: OpenCLIP's attention lies otherwise there. */
static void try_folder(const char *name)
{
	error e = { 0 };
	char file[40], from_file[60], from_folder[60], folder[40];
	snprintf(file, sizeof file, "%s.safetensors", name);
	snprintf(folder, sizeof folder, "%s-folder", name);
	snprintf(from_file, sizeof from_file, "model=%s", file);
	snprintf(from_folder, sizeof from_folder, "model=%s", folder);
	if (!convert_with(scratch_path(file), scratch_path(folder), NULL, 0, NULL, "diffusers", false, &e))
		fail_saying("%s\n", e.text);
#define SHORT \
	"train_data_dir=squares", "max_train_steps=2", "train_batch_size=2", "learning_rate=1e-2", "max_grad_norm=0"
	RUN(TRAIN_LORA, SHORT, from_file, "output=f-lora.safetensors", "network_dim=2");
	RUN(TRAIN_LORA, SHORT, from_folder, "output=d-lora.safetensors", "network_dim=2");
	char of_file[160], of_folder[160];
	snprintf(of_file, sizeof of_file, "%s", scratch_path("f-lora.safetensors"));
	snprintf(of_folder, sizeof of_folder, "%s", scratch_path("d-lora.safetensors"));
	same_pixels(file, of_file, file, of_folder);
	same_pixels(file, of_file, folder, of_folder);
	RUN(TRAIN_DIFFUSION, SHORT, from_file, "output=f.safetensors", "train_text_encoder=true");
	RUN(TRAIN_DIFFUSION, SHORT, from_folder, "output=d.safetensors", "train_text_encoder=true");
	same_pixels("f.safetensors", NULL, "d.safetensors", NULL);
#define WORD "placeholder_token=zork", "initializer_token=green"
	write_squares("word", "red", red, "a zork thing");
	RUN(TRAIN_EMBEDDING, SHORT, from_file, WORD, "train_data_dir=word", "output=f-word.safetensors");
	RUN(TRAIN_EMBEDDING, SHORT, from_folder, WORD, "train_data_dir=word", "output=d-word.safetensors");
	weights *a = weights_open(scratch_path("f-word.safetensors"), &e),
	        *b = weights_open(scratch_path("d-word.safetensors"), &e);
	assert_true(a && b && weights_count(a) == weights_count(b));
	for (size_t i = 0; i < weights_count(a); i++) {
		const weight *w = weights_at(a, i), *other = weights_find(b, w->name);
		assert_non_null(other);
		const float *x = w->data, *y = other->data;
		for (size_t k = 0; k < w->bytes / sizeof *x; k++) assert_true(fabsf(x[k] - y[k]) < 1e-3f);
	}
	weights_close(a);
	weights_close(b);
}

static void test_folders(void **state)
{
	(void)state;
	init_model("xl-2", xl_2, false);
	try_folder("xl-2-new");
	char json[sizeof sd3]; /* a folder does not say how long T5's texts are */
	static const char length[] = ",\"length\":16";
	const char *at = strstr(sd3, length);
	snprintf(json, sizeof json, "%.*s%s", (int)(at - sd3), sd3, at + strlen(length));
	init_model("sd3-77", json, false);
	try_folder("sd3-77-new");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_are_learned),
		cmocka_unit_test(test_loras_change_the_picture),
		cmocka_unit_test(test_new_words),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_dropped_captions),
		cmocka_unit_test(test_encoders_agree),
		cmocka_unit_test(test_encoders_apart),
		cmocka_unit_test(test_folders),
	};
	return cmocka_run_group_tests(tests, make_models, scratch_remove);
}
