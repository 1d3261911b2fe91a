/* fuzz_config.c - any bytes as a configuration: of the first, a bit chooses between Sumi's own JSON and those of a
 * diffusers folder, as one list [unet, vae, text_encoder, scheduler, special_tokens_map, tokenizer_config]; another one
 * whether what is accepted is built, so that its parameters are listed, which takes long. */
#include "fuzz.h"
#include "diffusion/diffusers.h"
#include "models/diffusers.h"

static void count(void *context, const parameter *p)
{
	holds(p->name[0] && p->shape.n >= 0 && p->shape.n <= MAX_DIMS);
	for (int i = 0; i < p->shape.n; i++) holds(p->shape.d[i] > 0);
	++*(size_t *)context;
}

static void list_parameters(const family *f)
{
	for (role r = 0; r < FAMILY_ROLES; r++) {
		error e = { 0 };
		size_t n = 0;
		if (!family_parameters(f, r, count, &n, &e)) holds_message(&e);
	}
}

static void walk(const json_t *config)
{
	error e = { 0 };
	scheduler s;
	noise_schedule schedule = { 0 };
	trajectory path;
	bool fine = scheduler_read(&s, config, NULL, &e) && noise_schedule_make(&schedule, &s.betas, &e) &&
	            scheduler_trajectory(&s, &schedule, 7, 0.5, &path, &e);
	if (fine)
		trajectory_free(&path);
	else
		holds_message(&e);
	noise_schedule_free(&schedule);
}

static void read_folder(const char *text, bool build)
{
	error e = { 0 };
	family f;
	json_t *j = json_loads(text, 0, NULL);
	diffusers_files files = { 0 };
	if (json_is_array(j)) /* U-Net, autoencoder, text encoder, scheduler, two of the tokenizer; then the others */
		files = (diffusers_files){ .unet = json_array_get(j, 0),
			.vae = json_array_get(j, 1),
			.text[0] = json_array_get(j, 2),
			.scheduler = json_array_get(j, 3),
			.special[0] = json_array_get(j, 4),
			.words[0] = json_array_get(j, 5),
			.transformer = json_array_get(j, 6),
			.text[1] = json_array_get(j, 7),
			.text[2] = json_array_get(j, 8) };
	bool fine = family_from_diffusers(&files, &f, &e);
	if (!fine) holds_message(&e);
	if (fine && build) list_parameters(&f);
	walk(files.scheduler);
	json_decref(j);
}

static void read_own(const char *text, bool build)
{
	error e = { 0 };
	family f;
	if (!family_from_json(text, &f, &e)) {
		holds_message(&e);
		return;
	}
	if (build) list_parameters(&f);
	char *again = family_to_json(&f); /* what we write is what we read */
	holds(again != NULL);
	family g;
	holds(family_from_json(again, &g, &e));
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = size ? calloc(size, 1) : NULL;
	if (!text) return 0;
	memcpy(text, data + 1, size - 1);
	if (*data & 1)
		read_folder(text, *data & 2);
	else
		read_own(text, *data & 2);
	free(text);
	return 0;
}
