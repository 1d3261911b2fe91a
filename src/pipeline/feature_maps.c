/* feature_maps.c - runs T2I-Adapters and sums their maps. */
#include "pipeline/feature_maps.h"
#include "pipeline/control.h"
#include "pipeline/picture.h"
#include <stdlib.h>
#include <string.h>

static const t2i_adapter_config *adapter_of(const job *j, int which)
{
	return control_adapter(j->controls[which].file);
}

/* The T2I-Adapter with the most maps; the others lack the last of them. NULL: there is none. */
static const t2i_adapter_config *widest(const job *j)
{
	const t2i_adapter_config *most = NULL;
	for (int i = 0; i < j->control_count; i++) {
		const t2i_adapter_config *c = adapter_of(j, i);
		if (c && (!most || c->outputs > most->outputs)) most = c;
	}
	return most;
}

/* ── the array of maps ── */

static shape map_shape(const job *j, const t2i_adapter_config *c, int output, int items)
{
	return unet_skip_shape(&j->m->family.denoiser.unet, c->place[output], items, j->latent_height, j->latent_width);
}

static size_t values_of(const job *j, const t2i_adapter_config *c, int items)
{
	size_t n = 0;
	for (int i = 0; c && i < c->outputs; i++) n += shape_count(map_shape(j, c, i, items));
	return n;
}

int feature_maps_outputs(const job *j)
{
	const t2i_adapter_config *c = widest(j);
	return c ? c->outputs : 0;
}

size_t feature_maps_values(const job *j, int items) { return values_of(j, widest(j), items); }

tensor feature_maps_input(graph *g, const job *j, int items, tensor *out)
{
	const t2i_adapter_config *c = widest(j);
	size_t first = 0;
	if (!c) return 0;
	tensor all = input(g, "features", REAL, shape1((int)feature_maps_values(j, items)));
	for (int i = 0; i < c->outputs; i++) {
		shape s = map_shape(j, c, i, items);
		out[c->place[i]] = view(g, all, first, s);
		first += shape_count(s);
	}
	return all;
}

/* ── the networks ── */

typedef struct shapes {
	const job *one;
	const control_file *file;
	int count;
} shapes;

/* Squares of the hint, as many as cover the picture. */
static int squares(int pixels, const t2i_adapter_config *c) { return (pixels + c->square - 1) / c->square; }

static tensor flat(graph *g, tensor x) { return reshape(g, x, shape1((int)shape_count(shape_of(g, x)))); }

static void build(nn *n, const model *m, stage *s, const void *context)
{
	const shapes *y = context;
	const job *j = y->one;
	const t2i_adapter_config *c = control_adapter(y->file);
	tensor out[T2I_OUTPUTS];
	(void)m;
	s->in[0] =
	    input(n->g, "hint", REAL, shape4(y->count, squares(j->height, c), squares(j->width, c), t2i_adapter_inputs(c)));
	if (!control_build(n, y->file, (denoiser_inputs){ 0 }, s->in[0], out)) return;
	for (int i = c->outputs - 1; i >= 0; i--) /* the small ones are copied most */
		s->out = s->out ? concat(n->g, flat(n->g, out[i]), s->out, 0) : flat(n->g, out[i]);
}

static network_key key_of(const shapes *y)
{
	return (network_key){
		.kind = CONTROL_NETWORK, .size = { y->count, y->one->height, y->one->width }, .control = y->file
	};
}

stage *feature_maps_network(session *s, job *const *jobs, int count, int which, error *e)
{
	shapes y = { jobs[0], jobs[0]->controls[which].file, count };
	network_key key = key_of(&y);
	return session_network(s, &key, build, &y, e);
}

/* ── hints ── */

/* Pixels [height][width][3] as the network reads them: squares of them as channels, color by color; of one channel: the
 * mean of the colors. */
static void gather(const t2i_adapter_config *c, const float *pixels, int width, int height, float *to)
{
	int square = c->square;
	for (int y = 0; y < height; y += square)
		for (int x = 0; x < width; x += square)
			for (int k = 0; k < c->hint_channels; k++)
				for (int i = 0; i < square * square; i++) {
					const float *p = pixels + 3 * ((size_t)(y + i / square) * (size_t)width + (size_t)(x + i % square));
					*to++ = c->hint_channels == 3 ? p[k] : (p[0] + p[1] + p[2]) / 3;
				}
}

static size_t hint_pixels(const job *j, const t2i_adapter_config *c)
{
	return (size_t)squares(j->width, c) * (size_t)squares(j->height, c) * (size_t)(c->square * c->square);
}

static bool write_hints(const feature_maps *f, int which, const stage *s, error *e)
{
	const job *j = f->jobs[0];
	const t2i_adapter_config *c = adapter_of(j, which);
	size_t n = hint_pixels(j, c), one = n * (size_t)c->hint_channels;
	int width = squares(j->width, c) * c->square, height = squares(j->height, c) * c->square;
	float *pixels = malloc(3 * n * sizeof *pixels), *hints = malloc((size_t)f->count * one * sizeof *hints);
	bool fine = (pixels && hints) || fail(e, NO_MEMORY, "out of memory for hints of %d×%d", width, height);
	for (int k = 0; fine && k < f->count; k++) {
		const job_control *y = &f->jobs[k]->controls[which];
		fine = hint_of(&y->image, width, height, y->options.canny_low, y->options.canny_high, pixels, e);
		if (fine) gather(c, pixels, width, height, hints + (size_t)k * one);
	}
	fine = fine && stage_write(s, s->in[0], hints, e);
	free(pixels);
	free(hints);
	return fine;
}

/* ── running ── */

uint64_t feature_maps_bytes(const job *j, int pictures)
{
	uint64_t values = 0, hints = 0;
	for (int i = 0; i < j->control_count; i++) {
		const t2i_adapter_config *c = adapter_of(j, i);
		if (!c) continue;
		values += values_of(j, c, pictures);
		hints = hint_pixels(j, c) * (3 + (uint64_t)pictures * (uint64_t)c->hint_channels);
	}
	return sizeof(float) * (values + feature_maps_values(j, pictures * j->text.branches) + hints);
}

static bool run_one(feature_maps *f, session *s, int which, const watcher *w, error *e)
{
	const job *j = f->jobs[0];
	shapes y = { j, j->controls[which].file, f->count };
	network_key key = key_of(&y);
	size_t values = values_of(j, adapter_of(j, which), f->count);
	if (!(f->maps[which] = malloc(values * sizeof(float))))
		return fail(e, NO_MEMORY, "out of memory for maps of features");
	stage *network = session_ready(s, &key, build, &y, 0, w, e);
	if (!network) return false;
	bool fine = stage_count(network, network->out) == values ||
	            fail(e, BAD_FILE, "%s: its outputs are not of the denoiser's sizes", j->controls[which].options.path);
	fine = fine && write_hints(f, which, network, e) && stage_run(network, e) && stage_read(network, f->maps[which], e);
	session_done(s, network);
	return fine;
}

bool feature_maps_begin(feature_maps *f, session *s, job *const *jobs, int count, const watcher *w, error *e)
{
	const job *j = jobs[0];
	bool fine = true;
	*f = (feature_maps){ .jobs = jobs, .count = count };
	if (!feature_maps_outputs(j)) return true;
	f->sum = malloc(feature_maps_values(j, count * j->text.branches) * sizeof(float));
	f->strengths = malloc((size_t)(j->control_count * count) * sizeof(float));
	if (!f->sum || !f->strengths) return fail(e, NO_MEMORY, "out of memory for maps of features");
	for (int i = 0; fine && i < j->control_count; i++)
		if (adapter_of(j, i)) fine = run_one(f, s, i, w, e);
	return fine;
}

/* A1111's extension has these weights of its own for the four maps, where the prompt or the hint is more important. */
static double share_of(control_mode mode, int output, int outputs)
{
	static const double soft[] = { 0.25, 0.62, 0.825, 1 };
	if (mode == CONTROL_BALANCED || mode == CONTROL_GUESS) return control_share(mode, output, outputs);
	int i = output + 4 - outputs;
	return soft[i < 0 ? 0 : i];
}

static void add_maps(const feature_maps *f, int which)
{
	const job *j = f->jobs[0];
	const t2i_adapter_config *c = adapter_of(j, which);
	int branches = j->text.branches;
	const float *from = f->maps[which];
	float *to = f->sum;
	for (int i = 0; i < c->outputs; i++) {
		size_t n = shape_count(map_shape(j, c, i, 1));
		for (int item = 0; item < f->count * branches; item++, to += n) {
			int picture = item / branches;
			control_mode mode = f->jobs[picture]->controls[which].mode;
			bool unprompted = j->text.unconditional && item % branches == 0;
			if (unprompted && control_conditional_only(mode)) continue;
			float share = f->strengths[which * f->count + picture] * (float)share_of(mode, i, c->outputs);
			const float *map = from + (size_t)picture * n;
			for (size_t k = 0; k < n; k++) to[k] += share * map[k];
		}
		from += (size_t)f->count * n;
	}
}

bool feature_maps_write(feature_maps *f, int step, int steps, const stage *denoiser, tensor to, error *e)
{
	const job *j = f->jobs[0];
	bool same = f->written != NULL;
	if (!feature_maps_outputs(j)) return true;
	for (int i = 0; i < j->control_count * f->count; i++) {
		float now = (float)control_strength(&f->jobs[i % f->count]->controls[i / f->count], step, steps);
		same = same && now == f->strengths[i];
		f->strengths[i] = now;
	}
	if (same && f->written == denoiser) return true;
	if (!same) memset(f->sum, 0, feature_maps_values(j, f->count * j->text.branches) * sizeof(float));
	for (int i = 0; !same && i < j->control_count; i++)
		if (adapter_of(j, i)) add_maps(f, i);
	f->written = denoiser;
	bool unread = !graph_address(denoiser->g, to); /* a shallow network has few of their places, or none */
	return unread || stage_write(denoiser, to, f->sum, e);
}

void feature_maps_end(feature_maps *f)
{
	for (int i = 0; i < MOST_CONTROLS; i++) free(f->maps[i]);
	free(f->sum);
	free(f->strengths);
	*f = (feature_maps){ 0 };
}
