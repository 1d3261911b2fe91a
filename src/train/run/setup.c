/* setup.c - models from files and options, options of the data, the device of a process. */
#include "train/run/setup.h"
#include "backend/backend.h"
#include "backend/cuda/cuda.h"
#include "base/file.h"
#include "base/resources.h"
#include "train/run/folder.h"
#include "train/run/team.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_CONFIG = 1 << 20 };

bool family_from_option(const char *given, family *f, error *e)
{
	while (*given == ' ' || *given == '\n') given++;
	if (*given == '{') return family_from_json(given, f, e);
	if (strchr(given, '.') || strchr(given, '/')) {
		char *text = whole_file(given, MOST_CONFIG, NULL, e);
		bool fine = text && family_from_json(text, f, e);
		free(text);
		return fine;
	}
	const family *known = family_by_name(given, e);
	if (known) *f = *known;
	return known != NULL;
}

static void log_line(void *context, const char *line) { training_note(context, "%s", line); }

data_options data_options_of(const train_options *o, const training_listener *l, int side)
{
	data_options d = { .path = o->train_data_dir,
		.caption = o->instance_prompt,
		.class_path = o->class_data_dir,
		.class_caption = o->class_prompt,
		.resolution = o->resolution ? (int)o->resolution : side,
		.crop = (int)o->crop,
		.random_crop = o->random_crop,
		.random_flip = o->random_flip,
		.bucket_step = (int)o->bucket_step,
		.bucket_min = (int)o->bucket_min,
		.bucket_max = (int)o->bucket_max,
		.vary_captions = o->vary_captions,
		.pixels = true,
		.batch = (int)o->train_batch_size,
		.ranks = 1,
		.threads = (int)o->dataloader_threads,
		.shuffle_buffer = (int)o->shuffle_buffer,
		.seed = (uint64_t)o->seed,
		.log = log_line,
		.context = (void *)l };
	if (!run_folder(o, d.except, NULL)) *d.except = 0;
	return d;
}

bool sides_fit(const data_options *source, const family *f, error *e)
{
	int side = data_side(source), factor = vae_factor(&f->autoencoder) * denoiser_patch(&f->denoiser);
	if (side % factor)
		return fail(e, BAD_USAGE, "pictures of %d are no multiple of %d, as %s needs", side, factor, f->name);
	return source->bucket_step % factor == 0 ||
	       fail(e, BAD_USAGE, "buckets in steps of %d are no multiple of %d, as %s needs", source->bucket_step, factor,
	           f->name);
}

dtype precision_of_cache(const train_options *o)
{
	if (!strcmp(o->cache_precision, "f32")) return F32;
	return strcmp(o->cache_precision, "f16") ? BF16 : F16;
}

bool fingerprint_of_set(const train_options *o, char hex[65], error *e)
{
	data_options any = data_options_of(o, NULL, 0);
	any.resolution = any.crop = any.bucket_step = 0;
	return data_fingerprint(&any, hex, e);
}

/* Of many processes on a machine each takes a GPU of its own, or with `auto`, where there are too few, none does. */
static const backend *backend_for(const char *name, const team *together, error *e)
{
	bool any = !strcasecmp(name, "auto");
	if (team_size(together) == 1 || (strcasecmp(name, "cuda") && !any)) return backend_named(name, e);
	int gpus = cuda_device_count(), here = team_size_here(together);
	char own[32];
	if (any && gpus < here) return backend_named("cpu", e);
	if (gpus && gpus <= team_rank_here(together))
		return fail(e, BAD_USAGE,
		           "%d processes on this machine, and %d GPU%s: each needs one of its own (where each sees its own "
		           "alone, that is --device cuda:0)",
		           here, gpus, gpus == 1 ? "" : "s"),
		       NULL;
	snprintf(own, sizeof own, "cuda:%d", team_rank_here(together));
	return backend_named(own, e);
}

static void tell_device(const device *d, int here, const training_listener *l)
{
	if (here > 1)
		training_note(l, "device: %s; each of the %d processes here has a GPU of its own", d->name, here);
	else
		training_note(l, "device: %s", d->name);
	if (d->doubt) training_note(l, "warning: %s", d->doubt);
}

bool choose_device(learner *m, const train_options *o, const training_listener *l, error *e)
{
	team *together = team_join(e);
	if (!together) return false;
	m->backend = backend_for(o->device, together, e);
	bool numbered = strchr(o->device, ':') != NULL;
	if (m->backend && m->backend->device) tell_device(m->backend->device, numbered ? 1 : team_size_here(together), l);
	team_leave(together, true);
	return m->backend != NULL;
}

int threads_of(const train_options *o) { return o->threads ? (int)o->threads : usable_cpus(); }
