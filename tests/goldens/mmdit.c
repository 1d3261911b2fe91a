/* mmdit.c - the transformer of Stable Diffusion 3 against the original: outputs, both streams of every block,
 * gradients. */
#include "trial.h"
#include "models/mmdit.h"
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char prefix[] = "model.diffusion_model.";

static int number(const json_t *config, const char *key)
{
	return (int)json_integer_value(json_object_get(config, key));
}

static mmdit_config read_config(const json_t *j)
{
	mmdit_config c = { .channels = number(j, "in_channels"),
		.patch = number(j, "patch"),
		.depth = number(j, "depth"),
		.width = number(j, "hidden"),
		.heads = number(j, "heads"),
		.positions = number(j, "pm"),
		.context = number(j, "ctx"),
		.vector = number(j, "adm"),
		.qk_norm = json_is_string(json_object_get(j, "qk_norm")) };
	const json_t *list = json_object_get(j, "x_block_self_attn_layers"), *layer;
	size_t i;
	json_array_foreach(list, i, layer) c.twice[json_integer_value(layer)] = true;
	return c;
}

/* "model.diffusion_model.joint_blocks.1.x_block." → "a.block.1.x" */
static void block_name(const char *scope, char *name, size_t size)
{
	int i;
	char part[16];
	if (strncmp(scope, prefix, sizeof prefix - 1)) return;
	scope += sizeof prefix - 1;
	if (sscanf(scope, "joint_blocks.%d.%15[a-z]_block.", &i, part) == 2)
		snprintf(name, size, "a.block.%d.%s", i, part);
	else if (!strcmp(scope, "t_embedder.") || !strcmp(scope, "y_embedder."))
		snprintf(name, size, "a.%.10s", scope);
}

static void run_case(const char *topic, const char *which, dtype compute, const mmdit_config *c, const arrays *weights,
    const arrays *io, const arrays *grad, const json_t *summary, report *r)
{
	trial *t = trial_new(topic, compute, weights, NULL, 0);
	nn *n = trial_nn(t);
	tensor x = trial_input(t, io, "%s.x", which), time = trial_input(t, io, "%s.t", which);
	tensor context = trial_input(t, io, "%s.context", which), y = trial_input(t, io, "%s.y", which);
	if (!strcmp(which, "a") && compute != BF16) trial_expect_blocks(t, io, block_name);
	push(n->g, "model.diffusion_model");
	tensor out = mmdit(n, c, (denoiser_inputs){ .x = x, .t = time, .context = context, .vector = y });
	pop(n->g);
	trial_expect(t, out, io, "%s.out", which);
	if (grad) {
		tensor loss = mean_squared_error(n->g, out, trial_input(t, grad, "target"));
		trial_expect(t, loss, grad, "loss");
		trial_expect_gradients(t, loss, grad, summary);
	}
	trial_end(t, r, compute == BF16 ? 3e-2 : 1e-4);
}

static void run_file(const char *dir, const char *topic, report *r)
{
	json_t *config = json_of(path_of(dir, "%s.config.json", topic));
	json_t *summary = json_of(path_of(dir, "%s.grad.json", topic));
	arrays weights = arrays_open(path_of(dir, "%s.safetensors", topic));
	arrays io = arrays_open(path_of(dir, "%s.io.safetensors", topic));
	arrays grad = arrays_open(path_of(dir, "%s.grad.safetensors", topic));
	mmdit_config c = read_config(config);
	for (char which[2] = "a"; *which <= 'z'; ++*which) {
		char key[8];
		snprintf(key, sizeof key, "%s.x", which);
		if (!json_object_get(io.header, key)) continue;
		bool first = *which == 'a' && grad.header;
		run_case(topic, which, REAL, &c, &weights, &io, first ? &grad : NULL, json_object_get(summary, "params"), r);
		run_case(topic, which, BF16, &c, &weights, &io, NULL, NULL, r);
	}
	arrays_close(&grad);
	arrays_close(&io);
	arrays_close(&weights);
	json_decref(summary);
	json_decref(config);
}

void golden_mmdit(const char *dir, report *r)
{
	DIR *folder = opendir(path_of(dir, "sd3"));
	const struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		char topic[300];
		const char *end = strstr(entry->d_name, ".config.json");
		if (!end) continue;
		snprintf(topic, sizeof topic, "sd3/%.*s", (int)(end - entry->d_name), entry->d_name);
		if (exists(path_of(dir, "%s.safetensors", topic))) run_file(dir, topic, r);
	}
	if (folder) closedir(folder);
}
