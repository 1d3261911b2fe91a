/* test_lora_strengths.c - how strongly a LoRA is applied: to text encoders, to the denoiser, to each block. A list's
 * merged weights are, block by block, those of the whole LoRA at that block's strength, to the bit. */
#include "scratch.h"
#include "checkpoint/adapters.h"
#include "converting.h"
#include "io/weights.h"
#include "models/lora_strengths.h"

#define MODEL GOLDEN_DIR "/sd1/model.safetensors"
#define KOHYA GOLDEN_DIR "/lora/kohya.safetensors"
#define LOCON GOLDEN_DIR "/lora/kohya_locon.safetensors"

/* ── what is read ── */

static void expect_two(const char *text, double words, double denoiser)
{
	error e = { 0 };
	lora_strengths s;
	const family *f = family_by_name("sd1", &e);
	if (!lora_strengths_read(text, f, &s, &e)) fail_saying("%s: %s\n", text, e.text);
	float t = lora_strengths_of(&s, "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight");
	float u = lora_strengths_of(&s, "model.diffusion_model.middle_block.0.in_layers.2.weight");
	assert_true(t == (float)words && u == (float)denoiser);
	assert_true(u == lora_strengths_of(&s, "model.diffusion_model.time_embed.0.weight"));
}

static void numbers(void **state)
{
	(void)state;
	expect_two(NULL, 1, 1);
	expect_two("", 1, 1);
	expect_two("0.8", 0.8, 0.8);
	expect_two("-1.5", -1.5, -1.5);
	expect_two("0.5:0.7", 0.5, 0.7);
	expect_two("1:te=0.5:unet=0.8", 0.5, 0.8);
	expect_two("te=0.5:unet=0.8", 0.5, 0.8);
	expect_two("0.3:unet=0.8", 0.3, 0.8);
	expect_two("1:te=0.5", 0.5, 0.5); /* as A1111 has it */
	expect_two("0.5:0.7:te=2", 2, 0.7);
	expect_two("te=0:1", 0, 0);
}

static void expect_refused(const char *text, const char *name, const char *why)
{
	error e = { 0 };
	lora_strengths s;
	assert_false(lora_strengths_read(text, family_by_name(name, NULL), &s, &e));
	assert_int_equal(e.status, BAD_USAGE);
	assert_says(e, why);
}

static void mistakes(void **state)
{
	(void)state;
	expect_refused("abc", "sd1", "'abc' is no weight");
	expect_refused("1:", "sd1", "'' is no weight");
	expect_refused("1:te=", "sd1", "'' is no weight");
	expect_refused("nan", "sd1", "'nan' is no weight");
	expect_refused("0x10", "sd1", "'0x10' is no weight");
	expect_refused("1e9", "sd1", "not between -100 and 100");
	expect_refused("1:2:4", "sd1", "'4' is not done here");
	expect_refused("1:dyn=4", "sd1", "'dyn=4' is not done here");
	expect_refused("1:start=3", "sd1", "'start=3' is not done here");
	expect_refused("1:lbw=MIDD", "sd1", "'MIDD' is the name of a preset");
	expect_refused("1:lbw=1,0,x", "sd1", "'x' is no weight");
	expect_refused("1:lbw=1,0,", "sd1", "'' is no weight");
	expect_refused("1:lbw=1,0,1", "sd1", "lbw= has 3 weights; sd1 has 17");
	expect_refused("1:lbw=1,0,1", "sd1", "or 26");
	expect_refused("1:lbw=1,0,1", "sdxl", "sdxl has 12");
	expect_refused("1:lbw=1,0,1", "sdxl", "or 20");
	expect_refused("1:lbw=1,0,1", "sd3-medium", "blocks of a U-Net");
}

/* ── arguments ── */

static void expect_argument(const char *text, const char *path, const char *strengths)
{
	error e = { 0 };
	char found[300];
	const char *rest;
	assert_true(adapter_argument(text, found, sizeof found, &rest, &e));
	assert_string_equal(found, path);
	assert_string_equal(rest, strengths);
}

static void arguments(void **state)
{
	(void)state;
	char text[300];
	expect_argument("none.safetensors", "none.safetensors", "1");
	expect_argument("none.safetensors:0.5", "none.safetensors", "0.5");
	expect_argument("none.safetensors:0.5:lbw=1,2", "none.safetensors", "0.5:lbw=1,2");
	expect_argument("no:ne.safetensors:te=1:0.5", "no:ne.safetensors", "te=1:0.5");
	expect_argument("none:abc", "none:abc", "1");
	const char *path = scratch_write("x:1", "", 0);
	expect_argument(path, path, "1"); /* a file that is called so */
	snprintf(text, sizeof text, "%s:abc", path);
	expect_argument(text, path, "abc"); /* so that it is refused by name */
}

/* ── what is merged ── */

static weights *merge(const char *file, const char *strengths)
{
	error e = { 0 };
	char argument[600], name[64];
	static int number;
	const char *one = argument;
	snprintf(argument, sizeof argument, "%s:%s", file, strengths);
	snprintf(name, sizeof name, "%d.safetensors", number++);
	if (!convert_with(MODEL, scratch_path(name), &one, 1, "f32", NULL, false, &e)) fail_saying("%s\n", e.text);
	weights *w = weights_open(scratch_path(name), &e);
	assert_non_null(w);
	return w;
}

enum { ZERO, HALF, ONE, TWO, LEVELS };
static const char *const at[LEVELS] = { "0", "0.5", "1", "2" };

/* Which of them a tensor of the file has where the list says `given` for the blocks named in `ids`. */
static int level_of(const char *key, const char *const *ids, const int *given, int count, int base)
{
	char id[16] = "";
	int n;
	const char *name = strstr(key, "diffusion_model.");
	if (!name) return base;
	name += 16;
	if (sscanf(name, "input_blocks.%d.", &n) == 1) snprintf(id, sizeof id, "IN%02d", n);
	if (sscanf(name, "output_blocks.%d.", &n) == 1) snprintf(id, sizeof id, "OUT%02d", n);
	if (!strncmp(name, "middle_block.", 13)) strcpy(id, "M00");
	if (!*id) return ONE;
	for (int i = 0; i < count; i++)
		if (!strcmp(ids[i], id)) return given[i];
	return ZERO;
}

static void expect_blocks(const char *file, const char *lead, const char *const *ids, int count)
{
	char list[400];
	int given[32], different = 0;
	snprintf(list, sizeof list, "%s%s", lead, at[HALF]); /* BASE */
	for (int i = 0; i < count; i++) {
		given[i] = (i + i / 4) % LEVELS;
		snprintf(list + strlen(list), sizeof list - strlen(list), ",%s", at[given[i]]);
	}
	weights *all[LEVELS], *w = merge(file, list);
	for (int i = 0; i < LEVELS; i++) all[i] = merge(file, at[i]);
	for (size_t i = 0; i < weights_count(w); i++) {
		const weight *x = weights_at(w, i);
		const weight *y = weights_find(all[level_of(x->name, ids, given, count, HALF)], x->name);
		assert_non_null(y);
		if (memcmp(x->data, y->data, x->bytes)) fail_saying("%s is not as strong as %s says\n", x->name, list);
		different += memcmp(x->data, weights_find(all[ONE], x->name)->data, x->bytes) != 0;
	}
	assert_true(different > 3);
	for (int i = 0; i < LEVELS; i++) weights_close(all[i]);
	weights_close(w);
}

static const char *const some[] = { "IN01", "IN02", "IN04", "IN05", "IN07", "IN08", "M00", "OUT03", "OUT04", "OUT05",
	"OUT06", "OUT07", "OUT08", "OUT09", "OUT10", "OUT11" };
static const char *const every[] = { "IN00", "IN01", "IN02", "IN03", "IN04", "IN05", "IN06", "IN07", "IN08", "IN09",
	"IN10", "IN11", "M00", "OUT00", "OUT01", "OUT02", "OUT03", "OUT04", "OUT05", "OUT06", "OUT07", "OUT08", "OUT09",
	"OUT10", "OUT11" };

static void blocks_with_attention(void **state)
{
	(void)state;
	expect_blocks(KOHYA, "1:lbw=", some, 16);
	expect_blocks(KOHYA, "", some, 16);
}

static void all_blocks(void **state)
{
	(void)state;
	expect_blocks(LOCON, "lbw=", every, 25);
}

/* SDXL's twelve: BASE IN04 IN05 IN07 IN08 M00 OUT00 … OUT05. */
static void blocks_of_sdxl(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		double strength;
	} wanted[] = { { "input_blocks.0.0", 0 }, { "input_blocks.4.1.proj_in", 2 }, { "input_blocks.5.1.proj_in", 3 },
		{ "input_blocks.6.0.op", 0 }, { "input_blocks.7.1.proj_in", 4 }, { "input_blocks.8.0.out_layers.3", 5 },
		{ "middle_block.1.proj_in", 6 }, { "output_blocks.0.1.proj_in", 7 }, { "output_blocks.5.1.proj_in", 12 },
		{ "output_blocks.6.0.out_layers.3", 0 }, { "label_emb.0.0", 1 } };
	error e = { 0 };
	lora_strengths s;
	char name[100];
	assert_true(lora_strengths_read("lbw=1,2,3,4,5,6,7,8,9,10,11,12", family_by_name("sdxl", NULL), &s, &e));
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		snprintf(name, sizeof name, "model.diffusion_model.%s.weight", wanted[i].name);
		assert_true(lora_strengths_of(&s, name) == (float)wanted[i].strength);
	}
	assert_true(
	    lora_strengths_of(&s, "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight") == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(mistakes),
		IN_SCRATCH(arguments),
		IN_SCRATCH(blocks_with_attention),
		IN_SCRATCH(all_blocks),
		cmocka_unit_test(blocks_of_sdxl),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
