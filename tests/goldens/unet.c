/* unet.c - U-Nets against the original classes: outputs, the results of every block, gradients. */
#include "trial.h"
#include "models/config.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>

static const char prefix[] = "model.diffusion_model.";

/* "model.diffusion_model.input_blocks.3." → "a.block.input.3" */
static void block_name(const char *scope, char *name, size_t size)
{
	int i;
	if (strncmp(scope, prefix, sizeof prefix - 1)) return;
	scope += sizeof prefix - 1;
	if (sscanf(scope, "input_blocks.%d", &i) == 1)
		snprintf(name, size, "a.block.input.%d", i);
	else if (sscanf(scope, "output_blocks.%d", &i) == 1)
		snprintf(name, size, "a.block.output.%d", i);
	else if (!strcmp(scope, "middle_block."))
		snprintf(name, size, "a.block.middle");
	else if (!strcmp(scope, "time_embed."))
		snprintf(name, size, "a.block.time_embed");
}

/* One case of the file: with its gradients where grad is given. */
static void run_case(const char *topic, const char *which, dtype compute, const unet_config *c, const arrays *weights,
    const arrays *io, const arrays *grad, const json_t *summary, report *r)
{
	char name[128];
	snprintf(name, sizeof name, "%s", topic);
	trial *t = trial_new(name, compute, weights, NULL, 0);
	nn *n = trial_nn(t);
	tensor x = trial_input(t, io, "%s.x", which), time = trial_input(t, io, "%s.t", which);
	tensor context = trial_input(t, io, "%s.context", which), y = trial_input(t, io, "%s.y", which);
	if (!strcmp(which, "a") && compute != BF16) trial_expect_blocks(t, io, block_name);
	push(n->g, "model.diffusion_model");
	denoiser_inputs in = { .x = x, .t = time, .context = context };
	*(c->guidance ? &in.guidance : &in.vector) = y;
	tensor out = unet(n, c, in);
	pop(n->g);
	trial_expect(t, out, io, "%s.out", which);
	if (grad) {
		tensor target = trial_input(t, grad, "target");
		tensor loss = mean_squared_error(n->g, out, target);
		trial_expect(t, loss, grad, "loss");
		trial_expect_gradients(t, loss, grad, summary);
	}
	trial_end(t, r, compute == BF16 ? 3e-2 : 1e-4);
}

static void run_file(const char *dir, const char *topic, const json_t *config, const char *weights_file, report *r)
{
	error e = { 0 };
	unet_config c;
	if (!unet_config_from_json(config, &c, &e)) {
		report_uncovered(r, topic, e.text);
		return;
	}
	arrays weights = arrays_open(path_of(dir, "%s", weights_file));
	arrays io = arrays_open(path_of(dir, "%s.io.safetensors", topic));
	arrays grad = arrays_open(path_of(dir, "%s.grad.safetensors", topic));
	json_t *summary = json_of(path_of(dir, "%s.grad.json", topic));
	for (char which[2] = "a"; *which <= 'z'; ++*which) {
		char key[8];
		snprintf(key, sizeof key, "%s.x", which);
		if (!json_object_get(io.header, key)) continue;
		bool first = *which == 'a';
		run_case(topic, which, REAL, &c, &weights, &io, first && grad.header ? &grad : NULL,
		    json_object_get(summary, "params"), r);
		run_case(topic, which, BF16, &c, &weights, &io, NULL, NULL, r);
	}
	json_decref(summary);
	arrays_close(&grad);
	arrays_close(&io);
	arrays_close(&weights);
}

static void timesteps(const char *path, report *r)
{
	arrays a = arrays_open(path);
	const char *key;
	json_t *entry;
	json_object_foreach(a.header, key, entry)
	{
		int width;
		if (sscanf(key, "timestep_embedding/%d", &width) != 1) continue;
		trial *t = trial_new("unet", REAL, &a, NULL, 0);
		graph *g = trial_nn(t)->g;
		trial_expect(t, timestep_embedding(g, trial_input(t, &a, "timestep_embedding/t"), width, 10000), &a, "%s", key);
		trial_end(t, r, 1e-4);
	}
	arrays_close(&a);
}

static void run_folder(const char *dir, report *r)
{
	DIR *folder = opendir(path_of(dir, "unet"));
	const struct dirent *entry;
	while (folder && (entry = readdir(folder))) {
		char topic[300], weights[320];
		const char *end = strstr(entry->d_name, ".config.json");
		if (!end) continue;
		snprintf(topic, sizeof topic, "unet/%.*s", (int)(end - entry->d_name), entry->d_name);
		snprintf(weights, sizeof weights, "%s.safetensors", topic);
		json_t *config = json_of(path_of(dir, "unet/%s", entry->d_name));
		if (exists(path_of(dir, "%s", weights))) run_file(dir, topic, config, weights, r);
		json_decref(config);
	}
	if (folder) closedir(folder);
}

void golden_unet(const char *dir, report *r)
{
	json_t *config = json_of(path_of(dir, "sd1/config.json"));
	if (config && exists(path_of(dir, "sd1/unet.io.safetensors")))
		run_file(dir, "sd1/unet", json_object_get(config, "unet"), "sd1/model.safetensors", r);
	json_decref(config);
	if (exists(path_of(dir, "unet/timestep_embedding.safetensors")))
		timesteps(path_of(dir, "unet/timestep_embedding.safetensors"), r);
	run_folder(dir, r);
}
