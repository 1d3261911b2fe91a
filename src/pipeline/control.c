/* control.c - runs control networks and sums what they give. */
#include "pipeline/control.h"
#include "pipeline/picture.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ── checking ── */

static bool mode_from_name(const char *name, control_mode *mode, error *e)
{
	static const char *const names[CONTROL_MODES] = { "balanced", "prompt", "control", "guess" };
	*mode = CONTROL_BALANCED;
	for (int i = 0; name && i < CONTROL_MODES; i++)
		if (!strcasecmp(name, names[i])) return *mode = (control_mode)i, true;
	return !name || fail(e, BAD_USAGE, "control mode '%.40s' is not known: balanced, prompt, control or guess", name);
}

static bool check_numbers(const sumi_control *o, error *e)
{
	if (!(o->strength >= 0 && o->strength <= 10))
		return fail(e, BAD_USAGE, "control strength %g: between 0 and 10", o->strength);
	if (!(o->from >= 0 && o->from <= o->to && o->to <= 1))
		return fail(e, BAD_USAGE, "control from %g to %g of the steps: 0 to 1, the smaller first", o->from, o->to);
	return (o->canny_low >= 0 && o->canny_low <= o->canny_high && o->canny_high <= 10000) ||
	       fail(e, BAD_USAGE, "thresholds of edges %d and %d: 0 to 10000, the smaller first", o->canny_low,
	           o->canny_high);
}

static bool prepare_one(const job *j, job_control *c, session *s, const watcher *w, error *e)
{
	const sumi_control *o = &c->options;
	int width = c->image.width, height = c->image.height;
	if (!o->path) return fail(e, BAD_USAGE, "a control has no path of its network");
	if (!check_numbers(o, e) || !mode_from_name(o->mode, &c->mode, e) || !(c->file = session_control(s, o->path, w, e)))
		return false;
	if ((int64_t)width * j->height != (int64_t)height * j->width)
		watcher_note(
		    w, SUMI_WARNING, "the control's picture, %d×%d, is stretched to %d×%d", width, height, j->width, j->height);
	if (!control_adapter(c->file) && control_config(c->file)->hint_channels != 3)
		return fail(
		    e, BAD_FILE, "%s: reads pictures of %d channels, not 3", o->path, control_config(c->file)->hint_channels);
	return true;
}

bool control_prepare(job *j, session *s, const watcher *w, error *e)
{
	const sumi_options *o = j->o;
	int factor = vae_factor(&j->m->family.autoencoder);
	if (o->control_count < 0 || o->control_count > MOST_CONTROLS || (o->control_count && !o->controls))
		return fail(e, BAD_USAGE, "%d controls: 0 to %d, with a list of them", o->control_count, MOST_CONTROLS);
	if (o->control_count && factor != HINT_FACTOR)
		return fail(e, BAD_USAGE, "control networks read %d pixels to a side of a latent position; %s has %d",
		    HINT_FACTOR, j->m->family.name, factor);
	for (int i = 0; i < o->control_count; i++) {
		job_control *c = &j->controls[i];
		c->options = sumi_control_defaults();
		if (!o->controls[i]) return fail(e, BAD_USAGE, "control %d of %d is not given", i + 1, o->control_count);
		if (!adopt(&c->options, sizeof c->options, o->controls[i], "sumi_control", e) ||
		    !adopt_image(&c->image, c->options.image, "the control's picture", e) || !prepare_one(j, c, s, w, e))
			return false;
		j->control_count++;
	}
	return true;
}

bool controls_alike(const job *a, const job *b)
{
	bool same = a->control_count == b->control_count;
	for (int i = 0; same && i < a->control_count; i++) same = a->controls[i].file == b->controls[i].file;
	return same;
}

static bool is_network(const job *j, int which) { return !control_adapter(j->controls[which].file); }

static bool has_networks(const job *j)
{
	bool any = false;
	for (int i = 0; i < j->control_count; i++) any |= is_network(j, i);
	return any;
}

/* ── the networks ── */

typedef struct shapes {
	const job *one;
	const control_file *file;
	int items;
	int again; /* controls before it with the same file: each has a network of its own, for its own hint */
} shapes;

static tensor flat(graph *g, tensor x) { return reshape(g, x, shape1((int)shape_count(shape_of(g, x)))); }

static void build(nn *n, const model *m, stage *s, const void *context)
{
	const shapes *y = context;
	const job *j = y->one;
	const unet_config *u = &control_config(y->file)->unet;
	graph *g = n->g;
	tensor out[UNET_SKIPS + 1];
	(void)m;
	s->in[0] = input(g, "x", REAL, shape4(y->items, j->latent_height, j->latent_width, u->in_channels));
	s->in[1] = input(g, "t", REAL, shape1(y->items));
	s->in[2] = u->context ? input(g, "context", REAL, shape3(y->items, j->text.tokens, u->context)) : 0;
	s->in[3] = u->vector ? input(g, "vector", REAL, shape2(y->items, u->vector)) : 0;
	s->in[4] = input(g, "hint", REAL, shape4(y->items, j->height, j->width, 3));
	int outputs = controlnet_outputs(control_config(y->file));
	s->in[5] = input(g, "shares", REAL, shape2(outputs, y->items));
	denoiser_inputs in = { .x = s->in[0], .t = s->in[1], .context = s->in[2], .vector = s->in[3] };
	if (!control_build(n, y->file, in, s->in[4], out)) return;
	for (int i = outputs - 1; i >= 0; i--) { /* the small ones are copied most */
		tensor share = view(g, s->in[5], (size_t)i * (size_t)y->items, shape4(y->items, 1, 1, 1));
		tensor weighted = flat(g, mul(g, cast(g, out[i], REAL), share));
		s->out = s->out ? concat(g, weighted, s->out, 0) : weighted;
	}
	s->in[6] = input(g, "before", REAL, shape_of(g, s->out));
	s->out = add(g, s->in[6], s->out);
}

static shapes shapes_of(job *const *jobs, int count, int which)
{
	shapes y = { jobs[0], jobs[0]->controls[which].file, count * jobs[0]->text.branches, 0 };
	for (int i = 0; i < which; i++) y.again += jobs[0]->controls[i].file == y.file;
	return y;
}

static network_key key_of(const shapes *y)
{
	const job *j = y->one;
	return (network_key){ .kind = CONTROL_NETWORK,
		.size = { y->items, j->latent_height, j->latent_width, j->text.tokens, y->again },
		.control = y->file };
}

stage *control_network(session *s, job *const *jobs, int count, int which, error *e)
{
	if (!is_network(jobs[0], which)) return feature_maps_network(s, jobs, count, which, e);
	shapes y = shapes_of(jobs, count, which);
	network_key key = key_of(&y);
	return session_network(s, &key, build, &y, e);
}

/* ── the array of residuals ── */

static const unet_config *unet_of(const job *j) { return &j->m->family.denoiser.unet; }

size_t control_values(const job *j, int items)
{
	size_t n = 0;
	for (int i = 0; has_networks(j) && i <= unet_skips(unet_of(j)); i++)
		n += shape_count(unet_skip_shape(unet_of(j), i, items, j->latent_height, j->latent_width));
	return n;
}

tensor control_input(graph *g, const job *j, int items, tensor *out, int *count)
{
	size_t n = control_values(j, items), first = 0;
	*count = 0;
	if (!n) return 0;
	tensor all = input(g, "controls", REAL, shape1((int)n));
	for (int i = 0; i <= unet_skips(unet_of(j)); i++) {
		shape s = unet_skip_shape(unet_of(j), i, items, j->latent_height, j->latent_width);
		out[(*count)++] = view(g, all, first, s);
		first += shape_count(s);
	}
	return all;
}

/* ── running ── */

/* The hint of a picture, 0 … 1, for all branches. */
static bool write_hints(const controller *c, int which, error *e)
{
	const job *j = c->jobs[0];
	size_t n = (size_t)j->width * (size_t)j->height * 3;
	int branches = j->text.branches;
	float *hints = malloc((size_t)c->items * n * sizeof *hints);
	bool fine = hints || fail(e, NO_MEMORY, "out of memory for hints of %d×%d", j->width, j->height);
	for (int k = 0; fine && k < c->count; k++) {
		const job_control *y = &c->jobs[k]->controls[which];
		float *to = hints + (size_t)(k * branches) * n;
		fine = hint_of(&y->image, j->width, j->height, y->options.canny_low, y->options.canny_high, to, e);
		for (int b = 1; fine && b < branches; b++) memcpy(to + (size_t)b * n, to, n * sizeof *to);
	}
	fine = fine && stage_write(c->networks[which], c->networks[which]->in[4], hints, e);
	free(hints);
	return fine;
}

bool controls_begin(controller *c, session *s, job *const *jobs, int count, const watcher *w, error *e)
{
	const job *j = jobs[0];
	*c = (controller){ .session = s, .jobs = jobs, .count = count, .items = count * j->text.branches };
	if (!feature_maps_begin(&c->features, s, jobs, count, w, e)) return false;
	if (!has_networks(j)) return true;
	size_t values = control_values(j, c->items), latents = (size_t)c->items * j->positions * (size_t)j->channels;
	c->latents = malloc(latents * sizeof(float));
	c->times = malloc((size_t)c->items * sizeof(float));
	c->shares = malloc((UNET_SKIPS + 1) * (size_t)c->items * sizeof(float));
	c->zeros = calloc(values, sizeof(float));
	if (!c->latents || !c->times || !c->shares || !c->zeros)
		return fail(e, NO_MEMORY, "out of memory for what control networks give");
	for (int i = 0; i < j->control_count; i++) {
		if (!is_network(j, i)) continue;
		shapes y = shapes_of(jobs, count, i);
		network_key key = key_of(&y);
		if (!(c->networks[i] = session_ready(s, &key, build, &y, 0, w, e)) || !write_hints(c, i, e)) return false;
		if (stage_count(c->networks[i], c->networks[i]->out) != values)
			return fail(e, BAD_FILE, "%s: its outputs are not of the denoiser's sizes", j->controls[i].options.path);
	}
	return true;
}

bool controls_write_conditioning(controller *c, const float *contexts, const float *vectors, error *e)
{
	bool fine = true;
	for (int i = 0; fine && i < c->jobs[0]->control_count; i++) {
		const stage *s = c->networks[i];
		if (!s) continue;
		fine =
		    (!s->in[2] || stage_write(s, s->in[2], contexts, e)) && (!s->in[3] || stage_write(s, s->in[3], vectors, e));
	}
	return fine;
}

/* diffusers' rule: a step counts where all of it lies between the two shares. */
double strength_in_step(double strength, double from, double to, int step, int steps)
{
	double begin = (double)step / steps, end = (double)(step + 1) / steps;
	return begin < from || end > to ? 0 : strength;
}

double control_strength(const job_control *c, int step, int steps)
{
	return strength_in_step(c->options.strength, c->options.from, c->options.to, step, steps);
}

static void lay_out(const controller *c, const float *x, double t)
{
	const job *j = c->jobs[0];
	size_t n = j->positions * (size_t)j->channels;
	for (int i = 0; i < c->items; i++) {
		memcpy(c->latents + (size_t)i * n, x + (size_t)(i / j->text.branches) * n, n * sizeof *x);
		c->times[i] = (float)t;
	}
}

/* How much of what control `which` gives counts, for each output and each item. */
static bool write_shares(const controller *c, int which, int step, int steps, error *e)
{
	const job *j = c->jobs[0];
	float *to = c->shares;
	for (int i = 0, outputs = unet_skips(unet_of(j)) + 1; i < outputs; i++)
		for (int item = 0; item < c->items; item++) {
			const job_control *y = &c->jobs[item / j->text.branches]->controls[which];
			bool unprompted = j->text.unconditional && item % j->text.branches == 0;
			double share = control_strength(y, step, steps) * control_share(y->mode, i, outputs);
			*to++ = unprompted && control_conditional_only(y->mode) ? 0 : (float)share;
		}
	return stage_write(c->networks[which], c->networks[which]->in[5], c->shares, e);
}

/* Runs control `which`, whose result is added to that of `before`; NULL: it is the step's first. */
static bool run_network(controller *c, int which, const stage *before, int step, int steps, error *e)
{
	stage *s = c->networks[which];
	if (before && !graph_pass(before->g, before->out, s->g, s->in[6], e)) return false;
	if (!before && !c->is_first[which] && !stage_write(s, s->in[6], c->zeros, e)) return false;
	c->is_first[which] = !before;
	return write_shares(c, which, step, steps, e) && stage_write(s, s->in[0], c->latents, e) &&
	       stage_write(s, s->in[1], c->times, e) && stage_run(s, e);
}

static bool counts(const controller *c, int which, int step, int steps)
{
	bool any = false;
	for (int k = 0; k < c->count; k++) any |= control_strength(&c->jobs[k]->controls[which], step, steps) > 0;
	return any;
}

bool controls_run(controller *c, int step, int steps, double t, const float *x, const stage *denoiser, tensor residuals,
    tensor maps, error *e)
{
	const job *j = c->jobs[0];
	const stage *last = NULL;
	if (!feature_maps_write(&c->features, step, steps, denoiser, maps, e)) return false;
	if (!has_networks(j)) return true;
	lay_out(c, x, t);
	for (int i = 0; i < j->control_count; i++) {
		if (!c->networks[i] || !counts(c, i, step, steps)) continue;
		if (!run_network(c, i, last, step, steps, e)) return false;
		last = c->networks[i];
	}
	if (!last && c->nothing == denoiser) return true;
	c->nothing = last ? NULL : denoiser;
	return last ? graph_pass(last->g, last->out, denoiser->g, residuals, e)
	            : stage_write(denoiser, residuals, c->zeros, e);
}

void controls_end(controller *c)
{
	for (int i = 0; i < MOST_CONTROLS; i++)
		if (c->networks[i]) session_done(c->session, c->networks[i]);
	feature_maps_end(&c->features);
	free(c->latents);
	free(c->times);
	free(c->shares);
	free(c->zeros);
	*c = (controller){ 0 };
}
