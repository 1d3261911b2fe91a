/* test_train_options.c - training options by name: defaults of each job as help prints them and as a run records them,
 * names of other tools, values in any spelling, and the messages for mistakes. */
#include "scratch.h"
#include "io/weights.h"
#include "train/run/options.h"
#include <jansson.h>
#include <sumi.h>

static const char *const jobs[] = { "autoencoder", "diffusion", "lora", "embedding", "cache" };
enum { JOBS = sizeof jobs / sizeof *jobs };

static void set(sumi_training *run, const char *name, const char *value)
{
	sumi_error e = { 0 };
	if (!sumi_training_set(run, name, value, &e)) fail_saying("%s\n", e.text);
}

static sumi_training *begin(const char *job)
{
	sumi_error e = { 0 };
	sumi_training *run = sumi_training_new(job, &e);
	if (!run) fail_saying("%s\n", e.text);
	return run;
}

/* Texts that mean the same: equal, or equal as numbers. */
static bool means_same(const char *a, const char *b)
{
	char *x_end, *y_end;
	double x = strtod(a, &x_end), y = strtod(b, &y_end);
	return !strcmp(a, b) || (x_end != a && !*x_end && y_end != b && !*y_end && x == y);
}

static void test_help_tells_what_a_run_begins_with(void **state)
{
	(void)state;
	for (int j = 0; j < JOBS; j++) {
		sumi_training *run = begin(jobs[j]);
		sumi_training_option o = { .size = sizeof o };
		int count = 0;
		for (int i = 0; sumi_training_option_at(jobs[j], i, &o); i++) {
			char value[4096];
			sumi_error e = { 0 };
			if (o.heading) continue;
			assert_true(sumi_training_get(run, o.name, value, sizeof value, &e));
			if (!means_same(value, o.standard))
				fail_saying("%s: --%s is %s, help says %s\n", jobs[j], o.name, value, o.standard);
			count++;
		}
		assert_true(count > 10);
		sumi_training_free(run);
	}
}

static const char *standard_of(const char *job, const char *name)
{
	sumi_training_option o = { .size = sizeof o };
	sumi_error e = { 0 };
	if (!sumi_training_find(job, name, &o, &e)) fail_saying("%s\n", e.text);
	return o.standard;
}

static void test_defaults_of_jobs(void **state)
{
	(void)state;
	assert_string_equal(standard_of("lora", "learning_rate"), "1e-4");
	assert_string_equal(standard_of("embedding", "learning_rate"), "5e-3");
	assert_string_equal(standard_of("lora", "train_batch_size"), "1");
	assert_string_equal(standard_of("embedding", "train_batch_size"), "1");
	assert_string_equal(standard_of("diffusion", "train_batch_size"), "16");
}

/* A run of one step whose options are the defaults but for those named here, and what its checkpoint records of them.
 */
static void check_recorded(const char *job, const char *const *given)
{
	sumi_error e = { 0 };
	error own = { 0 };
	sumi_training *run = begin(job);
	for (int i = 0; given[i]; i += 2) set(run, given[i], given[i + 1]);
	if (!sumi_training_run(run, NULL, &e)) fail_saying("%s: %s\n", job, e.text);
	sumi_training_free(run);
	weights *w = weights_open(scratch_path("out.training/checkpoint-1.safetensors"), &own);
	if (!w) fail_saying("%s\n", own.text);
	json_t *j = json_loads(weights_metadata(w, "sumi.training"), 0, NULL), *options = json_object_get(j, "options");
	assert_string_equal(json_string_value(json_object_get(j, "job")), job);
	assert_true(json_object_size(options) > 20);
	const char *name;
	json_t *value;
	json_object_foreach(options, name, value)
	{
		const char *expected = standard_of(job, name);
		for (int i = 0; given[i]; i += 2)
			if (!strcmp(given[i], name)) expected = given[i + 1];
		if (!strcmp(name, "network_alpha")) expected = "16"; /* 0 is the rank */
		if (!means_same(json_string_value(value), expected))
			fail_saying("%s: --%s was %s, help says %s\n", job, name, json_string_value(value), expected);
	}
	json_decref(j);
	weights_close(w);
}

static void test_a_run_uses_the_defaults(void **state)
{
	(void)state;
	const char *data = scratch_path("data"), *output = scratch_path("out.safetensors");
	char command[400];
	snprintf(command, sizeof command, "mkdir '%s' && cp '%s'/tests/unit/pictures/plain.reference.png '%s/a.png'", data,
	    SOURCE_DIR, data);
	assert_int_equal(system(command), 0);
#define GIVEN                                                                                                       \
	"model", GOLDEN_DIR "/sd1/model.safetensors", "train_data_dir", data, "output", output, "max_train_steps", "1", \
	    "resolution", "32"
	check_recorded("lora", (const char *const[]){ GIVEN, NULL });
	check_recorded(
	    "embedding", (const char *const[]){ GIVEN, "placeholder_token", "zork", "initializer_token", "fox", NULL });
	check_recorded("diffusion", (const char *const[]){ GIVEN, "train_batch_size", "1", NULL });
	check_recorded("autoencoder", (const char *const[]){ GIVEN, "train_batch_size", "1", NULL });
}

static void found(const char *name, const char *expected)
{
	sumi_training_option o = { .size = sizeof o };
	sumi_error e = { 0 };
	if (!sumi_training_find("lora", name, &o, &e)) fail_saying("%s\n", e.text);
	assert_string_equal(o.name, expected);
}

static void not_found(const char *job, const char *name, const char *words)
{
	sumi_training_option o = { .size = sizeof o };
	sumi_error e = { 0 };
	assert_false(sumi_training_find(job, name, &o, &e));
	assert_int_equal(e.status, SUMI_BAD_USAGE);
	assert_says(e, words);
}

static void test_names_of_other_tools(void **state)
{
	(void)state;
	found("Learning-Rate", "learning_rate");
	found("pretrained_model_name_or_path", "model");
	found("optimizer_type", "optimizer");
	found("min_snr_gamma", "snr_gamma");
	found("lora_alpha", "network_alpha");
	not_found("lora", "lr", "did you mean --learning_rate?");
	not_found("lora", "rank", "did you mean --network_dim?");
	not_found("lora", "steps", "did you mean --max_train_steps?");
	not_found("lora", "use_8bit_adam", "did you mean --optimizer adamw8bit?");
	not_found("lora", "networkdim", "did you mean --network_dim?");
	not_found("lora", "warmup", "did you mean --lr_warmup_steps?");
	not_found("lora", "zzz", "sumi train lora --help");
	not_found("cache", "zzz", "sumi cache --help");
	not_found("diffusion", "network_dim", "no meaning for 'diffusion'");
	/* Every row of the table leads somewhere. */
	const train_synonym *s;
	for (int i = 0; (s = train_synonym_at(i)); i++) {
		char ours[64];
		bool known = !strcmp(s->ours, "config");
		snprintf(ours, sizeof ours, "%.*s", (int)strcspn(s->ours, " "), s->ours);
		for (int job = 0; job < TRAINING_JOBS && !known; job++) known = train_option_find(job, ours, NULL) != NULL;
		if (!known) fail_saying("--%s leads to --%s, which is not there\n", s->theirs, s->ours);
	}
}

static void becomes(const char *job, const char *name, const char *value, const char *expected)
{
	char text[64];
	sumi_error e = { 0 };
	sumi_training *run = begin(job);
	set(run, name, value);
	assert_true(sumi_training_get(run, name, text, sizeof text, &e));
	assert_string_equal(text, expected);
	sumi_training_free(run);
}

static void test_values_in_any_spelling(void **state)
{
	(void)state;
	becomes("lora", "optimizer", "AdamW8bit", "adamw8bit");
	becomes("lora", "lr_scheduler", "Constant_With_Warmup", "constant");
	becomes("lora", "save_precision", "F16", "fp16");
	becomes("lora", "mixed_precision", "BF16", "bf16");
	becomes("lora", "prediction_type", "V-Prediction", "v_prediction");
	becomes("lora", "random_flip", "TRUE", "true");
	becomes("cache", "cache_precision", "FP32", "f32");
	becomes("lora", "learning_rate", "1e-4", "0.0001");
	sumi_error e = { 0 };
	sumi_training *run = begin("LoRA");
	assert_false(sumi_training_set(run, "optimizer", "adam", &e));
	assert_says(e, "expected one of adamw, adamw8bit, adafactor, sgd");
	e = (sumi_error){ 0 };
	const char *path = scratch_write("options.json", "{\"learnin_rate\": 1}", 19);
	assert_false(sumi_training_load(run, path, &e));
	assert_says(e, "options.json: no option --learnin_rate: did you mean --learning_rate?");
	sumi_training_free(run);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_help_tells_what_a_run_begins_with),
		cmocka_unit_test(test_defaults_of_jobs), IN_SCRATCH(test_a_run_uses_the_defaults),
		cmocka_unit_test(test_names_of_other_tools), IN_SCRATCH(test_values_in_any_spelling) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
