/* engine.c - prepares jobs, groups those that are alike, and takes each group through encode, denoise and decode. */
#include "pipeline/engine.h"
#include "base/resources.h"
#include "pipeline/decode.h"
#include "pipeline/denoise.h"
#include "pipeline/describe.h"
#include "pipeline/encode.h"
#include "pipeline/finite.h"
#include "pipeline/heard.h"
#include "pipeline/hires.h"
#include "pipeline/latent.h"
#include "pipeline/picture.h"
#include "pipeline/preview.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* MOST_ITEMS: the rows of an embedded timestep that products still cut by items (backend/cpu/matmul.c). */
enum { POSITIONS_AT_ONCE = 4096, MOST_AT_ONCE = 16, MOST_ITEMS = 32 };

static size_t values_of(const job *j) { return j->positions * (size_t)j->channels; }

int engine_batch(const model *m, int width, int height, int branches)
{
	int factor = vae_factor(&m->family.autoencoder);
	int64_t positions = (int64_t)(width / factor) * (height / factor); /* of any caller's sizes */
	int64_t n = positions > 0 ? POSITIONS_AT_ONCE / positions : 1;
	if (n > MOST_AT_ONCE) n = MOST_AT_ONCE;
	if (n * branches > MOST_ITEMS) n = MOST_ITEMS / branches;
	return n < 1 ? 1 : (int)n;
}

/* ── memory ── */

/* Apart from the networks: latents, the sampler's buffers, contexts; and the pictures, and what lies between the parts
 * of a tiled autoencoder, as floats. */
static uint64_t host_bytes(const job *j, int count)
{
	uint64_t outputs = j->skip_layers.layers ? 2 : 1;
	uint64_t latents = (uint64_t)sampler_buffers(j->sampler) + 8 + (2 + outputs) * (uint64_t)j->text.branches;
	uint64_t contexts = (uint64_t)(j->text.text_count + j->text.branches) * (uint64_t)j->text.tokens;
	uint64_t pictures = (uint64_t)j->width * (uint64_t)j->height * 3;
	uint64_t features = j->tile ? tile_features(j) : 0, maps = heard_values(j);
	return sizeof(float) * (uint64_t)count *
	       (features + maps + latents * (uint64_t)values_of(j) + contexts * (uint64_t)j->text.width + pictures);
}

static void note_stage(const watcher *w, const stage *s)
{
	size_t streamed = graph_streamed_bytes(s->g);
	watcher_note(w, SUMI_DETAIL, "memory: %-8s %8.1f MiB values, %8.1f MiB weights, %8.1f MiB to prepare them", s->name,
	    (double)graph_arena_bytes(s->g) / (1 << 20), (double)graph_constant_bytes(s->g) / (1 << 20),
	    (double)graph_setup_bytes(s->g) / (1 << 20));
	if (streamed)
		watcher_note(w, SUMI_DETAIL,
		    "memory: %-8s %8.1f MiB of weights more, for which there is no room: they come in each step", s->name,
		    (double)streamed / (1 << 20));
}

/* The most that a group's networks take, one after the other. */
typedef struct tally {
	session *session;
	uint64_t held, most; /* held: by the group's arrays, all the time */
	const watcher *w;
} tally;

/* Counts a compiled network, unless it is none, and what is at work together with it. Of a device that has no room for
 * all of its weights, as many of them are streamed as must be. */
static void count_bytes(tally *y, stage *s, uint64_t together, error *e)
{
	uint64_t room = session_room(y->session), others = together + y->held;
	if (!s || !stage_stream(s, room > others ? room - others : 0, e)) return;
	if (stage_bytes(s) + together > y->most) y->most = stage_bytes(s) + together;
}

static void count_stage(tally *y, stage *s, uint64_t together, error *e)
{
	count_bytes(y, s, together, e);
	if (s) note_stage(y->w, s);
}

/* The bytes of a group's control networks, compiled, of what they give and of one's hints. T2I-Adapters are done with
 * before the rest begins: of these it is what they gave. */
static uint64_t control_bytes(tally *y, job *const *jobs, int count, error *e)
{
	const job *j = jobs[0];
	uint64_t all = 0, items = (uint64_t)count * (uint64_t)j->text.branches;
	if (!j->control_count) return 0;
	for (int i = 0; i < j->control_count; i++) {
		stage *one = control_network(y->session, jobs, count, i, e);
		if (!one) return 0;
		if (control_adapter(j->controls[i].file)) {
			count_stage(y, one, feature_maps_bytes(j, count), e);
			continue;
		}
		all += stage_bytes(one);
		note_stage(y->w, one);
	}
	uint64_t values = control_values(j, (int)items), hints = items * (uint64_t)j->width * (uint64_t)j->height * 3;
	return all + sizeof(float) * (values + (values ? hints : 0)) + feature_maps_bytes(j, count);
}

/* The image networks, which are done with before the rest begins, and the bytes of what they gave. */
static uint64_t image_bytes(tally *y, job *const *jobs, int count, error *e)
{
	uint64_t held = image_prompts_bytes(jobs[0], count);
	for (int i = 0; i < jobs[0]->image_prompt_count; i++)
		count_stage(y, image_prompt_network(y->session, jobs[0], i, e), held, e);
	return held;
}

/* The bytes of what makes previews while the denoiser is there. */
static uint64_t preview_bytes(session *s, const job *j, const watcher *w, error *e)
{
	const stage *network = preview_network(s, j, w, e);
	return network ? stage_bytes(network) : 0;
}

/* The text encoders and, if it `runs`, the denoiser, of a group or of its refiner. */
static bool plan_denoising(tally *y, job *const *jobs, int count, bool runs, error *e)
{
	session *s = y->session;
	const adapter_set *a = jobs[0]->adapters;
	for (int i = 0; i < 2 * count * TEXT_ENCODERS; i++) {
		const job *one = jobs[i / (2 * TEXT_ENCODERS)];
		const conditioning *c = i / TEXT_ENCODERS % 2 ? &one->text_to : &one->text;
		stage *text = text_network(s, c->texts, c->text_count, i % TEXT_ENCODERS, a, one->skip, e);
		count_bytes(y, text, 0, e);
	}
	if (!runs) return !failed(e);
	uint64_t together =
	    control_bytes(y, jobs, count, e) + image_bytes(y, jobs, count, e) + preview_bytes(s, jobs[0], y->w, e);
	const stage *shallow = shallow_network(s, jobs, count, e);
	if (shallow) {
		together += stage_bytes(shallow);
		note_stage(y->w, shallow);
	}
	count_stage(y, denoiser_network(s, jobs, count, e), together, e);
	return !failed(e);
}

/* The jobs of the second model; false: there is none. */
static bool refiners_of(job *const *jobs, int count, job **refiners)
{
	for (int i = 0; i < count; i++) refiners[i] = jobs[i]->refiner;
	return refiners[0] != NULL;
}

/* All networks of a group, compiled. */
static bool plan_networks(tally *y, job *const *jobs, int count, error *e)
{
	session *s = y->session;
	job *refiners[MOST_AT_ONCE];
	stage *all[2 * AUTOENCODER_NETWORKS];
	bool runs = jobs[0]->skipped < jobs[0]->path.count; /* not where nothing of a picture may change */
	if (!plan_denoising(y, jobs, count, runs, e)) return false;
	if (refiners_of(jobs, count, refiners) && !plan_denoising(y, refiners, count, runs, e)) return false;
	int n = encodes(jobs[0]) ? encoder_networks(s, jobs[0], all, e) : 0;
	if (!failed(e)) n += decoder_networks(s, jobs[0], count, all + n, e);
	for (int i = 0; !failed(e) && i < n; i++) count_stage(y, all[i], 0, e);
	return !failed(e);
}

/* The jobs of the second pass; false: there is none. */
static bool seconds_of(job *const *jobs, int count, job **seconds)
{
	for (int i = 0; i < count; i++) seconds[i] = hires_job(jobs[i]);
	return seconds[0] != NULL;
}

/* Compiles the networks of a group, of both passes where there are two, and sees whether there is room for each. */
static bool plan(session *s, job *const *jobs, int count, uint64_t *planned, const watcher *w, error *e)
{
	job *seconds[MOST_AT_ONCE];
	char what[64];
	bool twice = seconds_of(jobs, count, seconds);
	const job *j = twice ? seconds[0] : jobs[0]; /* the larger */
	tally y = { s, host_bytes(j, count), 0, w };
	plan_networks(&y, jobs, count, e);
	if (!failed(e) && twice) plan_networks(&y, seconds, count, e);
	if (failed(e)) return false;
	if (count > 1)
		snprintf(what, sizeof what, "%d pictures of %d×%d at once", count, j->width, j->height);
	else
		snprintf(what, sizeof what, "%d×%d", j->width, j->height);
	bool fine = session_has_room(s, y.most + y.held, what, planned, e);
	watcher_note(w, SUMI_DETAIL, "memory: peak %.1f MiB planned; the process takes %.1f MiB, %s has %.1f MiB",
	    (double)*planned / (1 << 20), (double)session_taken(s) / (1 << 20), device_owner(j->m->backend->device),
	    (double)session_available(s) / (1 << 20));
	return fine;
}

/* Where a picture's autoencoder does not fit in one piece: the largest tiles that do, if any do. */
static bool plan_tiles(session *s, job *j, uint64_t *planned, const watcher *w, error *e)
{
	static const int sides[] = { 2048, 1536, 1024, 768, 512, 384, 256 };
	job *last = hires_job(j) ? hires_job(j) : j; /* the larger pass */
	for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
		error own = { 0 };
		last->tile = sides[i];
		if (sides[i] < smallest_tile(last) || (sides[i] >= last->width && sides[i] >= last->height)) continue;
		j->tile = sides[i];
		if (plan(s, &j, 1, planned, w, &own)) {
			watcher_note(w, SUMI_WARNING,
			    "memory: %d×%d in one piece would not fit: the autoencoder works in tiles of %d pixels, which takes "
			    "longer",
			    last->width, last->height, last->tile);
			return true;
		}
		session_forget_plans(s);
		if (own.status != NO_MEMORY) return fail(e, own.status, "%s", own.text);
	}
	j->tile = last->tile = 0;
	return false;
}

/* ── encode ── */

bool engine_encode(session *s, job *const *jobs, int count, const watcher *w, error *e)
{
	bool fine = encode_prompts(s, jobs, count, w, e);
	session_hold(s, true);
	for (int i = 0; fine && i < count; i++) fine = encode_pictures(s, jobs[i], w, e);
	session_hold(s, false);
	return fine;
}

/* ── denoise ── */

/* A group on its way; the context of all that the sampler calls. */
typedef struct group {
	job *const *jobs;
	int count;
	denoiser denoiser;
	const watcher *w;
	preview *preview; /* NULL: none is wanted */
	float *drawn;     /* noise of one latent [C][positions], the order in which it is drawn */
	error *e;
} group;

static bool draw_noise(void *context, double from, double to, float *out, size_t n, error *e)
{
	group *g = context;
	size_t one = values_of(g->jobs[0]);
	(void)n;
	for (int k = 0; k < g->count; k++) {
		job *j = g->jobs[k];
		if (!sampler_is_brownian(j->sampler))
			noise_draw(&j->noise, g->drawn, one);
		else if (!brownian_noise(&j->tree, from, to, g->drawn, one, e))
			return false;
		channels_last(out + (size_t)k * one, g->drawn, j->channels, j->positions);
	}
	return true;
}

/* The first latent: noise as strong as the path begins, turned towards another seed's, on the picture's latent if there
 * is one. */
static bool begin_latent(group *g, job *j, float *latent, error *e)
{
	size_t n = values_of(j);
	noise_draw(&j->noise, g->drawn, n);
	if (j->o->variation_strength > 0) {
		noise source;
		float *other = malloc(n * sizeof *other);
		if (!other) return fail(e, NO_MEMORY, "out of memory for a latent");
		noise_seed(&source, j->cuda, (uint64_t)j->o->variation_seed);
		noise_draw(&source, other, n);
		noise_turn(g->drawn, other, j->o->variation_strength, j->channels, j->latent_height, j->latent_width);
		free(other);
	}
	channels_last(latent, g->drawn, j->channels, j->positions);
	for (size_t i = 0; i < n; i++)
		latent[i] = j->original ? (float)(j->start.alpha * (double)j->original[i] + j->start.sigma * (double)latent[i])
		                        : (float)(j->path.start * (double)latent[i]);
	return true;
}

/* Tells the listener where each picture's latent is. */
static void tell_latents(const group *g, int step, path_point at, const float *x, const float *clean)
{
	const sumi_listener *l = g->w ? &g->w->listener : NULL;
	for (int k = 0; l && l->latent && k < g->count; k++) {
		const job *j = g->jobs[k];
		size_t first = (size_t)k * values_of(j);
		l->latent(l->context, j->index, step,
		    &(sumi_latent){ .size = sizeof(sumi_latent),
		        .width = j->latent_width,
		        .height = j->latent_height,
		        .channels = j->channels,
		        .noisy = x + first,
		        .clean = clean ? clean + first : NULL,
		        .time = at.t,
		        .signal = at.alpha,
		        .noise = at.sigma });
	}
}

static bool after_step(void *context, int done, int calls, const float *x, const float *denoised)
{
	group *g = context;
	(void)calls;
	int count = g->jobs[0]->path.count;
	tell_latents(g, done, g->jobs[0]->path.steps[done - 1].to, x, denoised);
	if (g->preview && done < count && !preview_show(g->preview, g->jobs, g->count, done, denoised, g->e)) return false;
	return watcher_progress(g->w, "denoise", done, count, g->e);
}

/* What masks protect, for each value of the latents: [count][positions][C] twice, the known and the mask; NULL without.
 */
static float *known_of(job *const *jobs, int count, error *e)
{
	size_t n = values_of(jobs[0]), all = n * (size_t)count, channels = (size_t)jobs[0]->channels;
	bool any = false;
	for (int k = 0; k < count; k++) any |= jobs[k]->mask && jobs[k]->original;
	if (!any) return NULL;
	float *known = calloc(2 * all, sizeof *known), *mask = known + all;
	if (!known) return fail(e, NO_MEMORY, "out of memory for masks"), NULL;
	for (int k = 0; k < count; k++) {
		const job *j = jobs[k];
		bool masked = j->mask && j->original;
		if (masked) memcpy(known + (size_t)k * n, j->original, n * sizeof *known);
		for (size_t i = 0; i < n; i++) mask[(size_t)k * n + i] = masked ? j->mask[i / channels] : 1;
	}
	return known;
}

static bool sample_group(group *g, session *s, float *latents, error *e)
{
	job *j = g->jobs[0];
	size_t n = values_of(j) * (size_t)g->count;
	for (int k = 0; k < g->count; k++) g->jobs[k]->tree = brownian_tree_over(&j->path, (uint64_t)g->jobs[k]->seed);
	job *refiners[MOST_AT_ONCE];
	g->denoiser = (denoiser){ .session = s,
		.jobs = g->jobs,
		.refiners = refiners_of(g->jobs, g->count, refiners) ? refiners : NULL,
		.count = g->count,
		.first_step = j->skipped,
		.steps = j->path.count };
	trajectory_skip(&j->path, j->skipped);
	float *known = known_of(g->jobs, g->count, e);
	sampling hooks = {
		.denoise = denoiser_call,
		.denoise_context = &g->denoiser,
		.noise = draw_noise,
		.noise_context = g,
		.progress = after_step,
		.progress_context = g,
		.prediction = j->prediction,
		.known = known,
		.mask = known ? known + n : NULL,
	};
	tell_latents(g, 0, j->path.steps[0].from, latents, NULL);
	bool fine =
	    !failed(e) && denoiser_begin(&g->denoiser, g->w, e) && watcher_progress(g->w, "denoise", 0, j->path.count, e) &&
	    sample(j->sampler, &j->settings, &j->path, &hooks, latents, n, e) && denoiser_maps(&g->denoiser, g->jobs, e);
	denoiser_end(&g->denoiser);
	for (size_t i = 0; fine && known && i < n; i++)
		if (known[n + i] <= 0) latents[i] = known[i];
	free(known);
	return fine && all_finite(latents, n, "the last latent", e);
}

float *engine_denoise(session *s, job *const *jobs, int count, const watcher *w, error *e)
{
	size_t n = values_of(jobs[0]);
	group g = { .jobs = jobs, .count = count, .w = w, .e = e };
	float *latents = malloc((size_t)count * n * sizeof *latents);
	g.drawn = malloc(n * sizeof *g.drawn);
	bool fine = (latents && g.drawn) || fail(e, NO_MEMORY, "out of memory for latents");
	for (int k = 0; fine && k < count; k++) fine = begin_latent(&g, jobs[k], latents + (size_t)k * n, e);
	if (fine && jobs[0]->skipped >= jobs[0]->path.count) /* nothing may change */
		for (int k = 0; k < count; k++) memcpy(latents + (size_t)k * n, jobs[k]->original, n * sizeof *latents);
	else if (fine)
		fine = preview_new(&g.preview, s, jobs[0], w, e) && sample_group(&g, s, latents, e);
	preview_free(g.preview);
	free(g.drawn);
	if (fine) return latents;
	free(latents);
	return NULL;
}

/* ── decode ── */

float *engine_decode(session *s, job *const *jobs, int count, const float *latents, const watcher *w, error *e)
{
	const job *j = jobs[0];
	size_t n = (size_t)count * (size_t)j->width * (size_t)j->height * 3;
	decoding d = decoding_of(j, count);
	float *out = malloc(n * sizeof *out);
	if (!out) return fail(e, NO_MEMORY, "out of memory for pictures of %d×%d", j->width, j->height), NULL;
	if (decode_with(s, &d, j->adapters, latents, out, w, e) && all_finite(out, n, "the decoded picture", e)) return out;
	free(out);
	return NULL;
}

/* ── the whole ── */

/* The first pass to where the second begins. */
static bool begin_seconds(session *s, job *const *jobs, int count, const float *latents, const watcher *w, error *e)
{
	bool pixels = hires_in_pixels(jobs[0]);
	size_t each = (size_t)jobs[0]->width * (size_t)jobs[0]->height * 3;
	float *values = pixels ? engine_decode(s, jobs, count, latents, w, e) : NULL;
	for (int k = 0; !failed(e) && k < count; k++)
		hires_begin(jobs[k], latents + (size_t)k * values_of(jobs[k]), pixels ? values + (size_t)k * each : NULL, w, e);
	free(values);
	return !failed(e);
}

static float *draw_latents(session *s, job *const *jobs, int count, const watcher *w, error *e)
{
	return engine_encode(s, jobs, count, w, e) ? engine_denoise(s, jobs, count, w, e) : NULL;
}

static void give_maps(job *j, sumi_image *picture)
{
	if (!j->maps) return;
	picture->attention = j->maps;
	picture->attention_count = j->text.words;
	picture->attention_width = j->latent_width;
	picture->attention_height = j->latent_height;
	j->maps = NULL;
}

static bool draw_group(session *s, job *const *jobs, int count, sumi_image **pictures, const watcher *w, error *e)
{
	job *seconds[MOST_AT_ONCE];
	float *latents = draw_latents(s, jobs, count, w, e);
	if (latents && seconds_of(jobs, count, seconds)) {
		bool begun = begin_seconds(s, jobs, count, latents, w, e);
		free(latents);
		latents = begun ? draw_latents(s, seconds, count, w, e) : NULL;
		jobs = seconds;
	}
	size_t each = (size_t)jobs[0]->width * (size_t)jobs[0]->height * 3;
	float *values = latents ? engine_decode(s, jobs, count, latents, w, e) : NULL;
	bool fine = values != NULL;
	for (int k = 0; fine && k < count; k++) {
		pictures[k] = first_picture_finish(jobs[k], values + (size_t)k * each, e);
		fine = pictures[k] != NULL;
		if (fine) give_maps(jobs[k], pictures[k]);
	}
	free(latents);
	free(values);
	return fine;
}

/* The next group, in the order of the options: the first job that is not drawn, and what is like it. */
static int gather(job *jobs, int count, const bool *done, int most, job **list, int *index)
{
	int n = 0;
	for (int i = 0; i < count && n < most; i++) {
		if (done[i] || (n && !jobs_alike(list[0], &jobs[i]))) continue;
		index[n] = i;
		list[n++] = &jobs[i];
	}
	return n;
}

/* As many of the group as there is memory for; one, in tiles, where it is not enough for that. */
static int plan_group(session *s, job *const *list, int n, uint64_t *planned, const watcher *w, error *e)
{
	for (;; n = (n + 1) / 2) {
		error small = { 0 };
		if (plan(s, list, n, planned, w, &small)) return n;
		session_forget_plans(s);
		if (n > 1 && small.status == NO_MEMORY) continue;
		bool tiled = small.status == NO_MEMORY && !list[0]->tile && plan_tiles(s, list[0], planned, w, e);
		if (!tiled && !failed(e)) *e = small;
		return tiled;
	}
}

static int first_of(const bool *done, int count)
{
	int i = 0;
	while (i < count && done[i]) i++;
	return i;
}

static bool draw_all(session *s, job *jobs, int count, sumi_image **pictures, const watcher *w, error *e)
{
	bool *done = calloc((size_t)count, sizeof *done);
	bool fine = done || fail(e, NO_MEMORY, "out of memory for %d pictures", count);
	for (int first = 0; fine && (first = first_of(done, count)) < count;) {
		const job *j = &jobs[first];
		job *list[MOST_AT_ONCE];
		sumi_image *made[MOST_AT_ONCE] = { NULL };
		int index[MOST_AT_ONCE];
		uint64_t planned;
		int branches =
		    j->refiner && j->refiner->text.branches > j->text.branches ? j->refiner->text.branches : j->text.branches;
		int n = gather(jobs, count, done, engine_batch(j->m, j->width, j->height, branches), list, index);
		n = plan_group(s, list, n, &planned, w, e);
		fine = n > 0 && draw_group(s, list, n, made, w, e);
		if (fine)
			watcher_note(w, SUMI_DETAIL, "memory: peak %.1f MiB planned, %.1f MiB measured",
			    (double)planned / (1 << 20), (double)session_peak(s) / (1 << 20));
		for (int k = 0; k < n; k++) {
			pictures[index[k]] = made[k];
			done[index[k]] = true;
		}
	}
	free(done);
	return fine;
}

/* ── what is not finite ── */

static bool blame_adapters(const adapter_list *l, error *e)
{
	for (int i = 0; i < l->count; i++)
		if (blame_file(l->files[i].file, e)) return true;
	return false;
}

static bool blame_files_of(const job *j, error *e)
{
	if (j->adapters && blame_adapters(adapter_set_files(j->adapters), e)) return true;
	for (int i = 0; i < j->control_count; i++)
		if (blame_file(control_weights(j->controls[i].file), e)) return true;
	for (int i = 0; i < j->image_prompt_count; i++)
		if (blame_file(ip_adapter_weights(j->image_prompts[i].file), e) ||
		    blame_file(ip_adapter_vision_weights(j->image_prompts[i].file), e))
			return true;
	return false;
}

/* Adds to the failure which file's tensor is to blame, or that none is. */
static void blame(const model *m, const job *jobs, int count, error *e)
{
	char text[400];
	bool found = blame_weights(m, e) || blame_adapters(&m->lasting, e);
	for (int i = 0; i < count && !found; i++)
		found = (jobs[i].refiner && blame_weights(jobs[i].refiner->m, e)) || blame_files_of(&jobs[i], e);
	if (found) return;
	snprintf(text, sizeof text, "%.399s", e->text);
	snprintf(e->text, sizeof e->text, "%.400s (all weights of %.200s are finite)", text, m->path);
}

/* ── all ── */

bool engine_draw(session *s, const sumi_options *const *options, int count, sumi_image **pictures, error *e)
{
	watcher w = { 0 };
	job *jobs = calloc((size_t)count, sizeof *jobs);
	hashing *hashes = NULL;
	bool fine = jobs || fail(e, NO_MEMORY, "out of memory for %d pictures", count);
	session_begin(s);
	fine = fine && watcher_of(&w, options[0], e);
	for (int i = 0; fine && i < count; i++) {
		fine = job_prepare(&jobs[i], s, &w, options[i], e);
		jobs[i].index = i;
		jobs[i].options.preview = jobs[0].options.preview; /* also of a group that the first is not in */
	}
	for (int i = 0; fine && i < count && !hashes; i++)
		if (jobs[i].o->hashes) hashes = hashing_begin(session_model(s), jobs[i].o->refiner);
	fine = fine && draw_all(s, jobs, count, pictures, &w, e);
	for (int i = 0; fine && i < count; i++) fine = describe(&jobs[i], hashes, pictures[i], e);
	if (!fine && e->status == BAD_FILE && strstr(e->text, "not finite")) blame(session_model(s), jobs, count, e);
	session_forget_plans(s);
	hashing_end(hashes);
	for (int i = 0; jobs && i < count; i++) job_free(&jobs[i]);
	free(jobs);
	for (int i = 0; !fine && i < count; i++) {
		sumi_image_free(pictures[i]);
		pictures[i] = NULL;
	}
	return fine;
}
