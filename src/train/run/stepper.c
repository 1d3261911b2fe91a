/* stepper.c - from a batch to changed weights. */
#include "train/run/stepper.h"
#include "train/optimize/apply.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_GRAPHS = 64 };

typedef struct built { /* the graph for one shape of batch */
	int count, height, width;
	graph *g;
	tensor loss;
	tensor *gradient; /* [trained]; 0: the loss does not depend on it */
	blend *add;       /* this batch's gradients to the sums; NULL where nothing is accumulated */
	apply *apply;     /* changes the weights by the gradients, or by their sums */
	int *owner;       /* [trained]: the first weight with the same gradient node, usually itself */
	int nodes;        /* that the network's graph was built of, with node 0 */
	int *of_node;     /* [nodes]: the first weight of a gradient node, −1: it is none */
	bool *waits;      /* [trained]: the team's sum may not take its place before the run has ended */
	float **apart;    /* [trained]: a copy on the device, to be summed there; NULL: none */
	bool ready;       /* it is allocated */
} built;

struct stepper {
	const task *task;
	const train_options *options;
	team *team;
	int threads;
	int trained;
	int *indices; /* [trained] in the model's weights */
	int *holder;  /* [trained] the process that keeps its optimizer's state; NULL: each keeps all */
	optimizer *optimizer;
	bool later;   /* the step that is made comes after task.changes_at */
	bool planned; /* the team knows the gradients of these graphs */
	built graphs[MOST_GRAPHS];
	int graph_count;
	float **sums;    /* [trained] accumulated gradients, in the backend's memory; NULL where nothing is accumulated */
	blend *averages; /* NULL until they are first asked for */
	built *running;
	bool profiled;
};

static const device *device_of(const stepper *s) { return learner_backend(s->task->learner)->device; }
static learner_weight *weight_of(const stepper *s, int i) { return &s->task->learner->weights[s->indices[i]]; }
static size_t elements(const stepper *s, int i) { return shape_count(weight_of(s, i)->shape); }

/* The gradient of trained weight i after a run of b, or its sum over batches; NULL: there is none. */
static float *gradient_at(const stepper *s, const built *b, int i)
{
	if (!b->gradient[i]) return NULL;
	int owner = b->owner[i];
	if (s->sums) return s->sums[owner];
	return b->apart[owner] ? b->apart[owner] : graph_address(b->g, b->gradient[i]);
}

/* ── building ── */
static void free_built(const stepper *s, built *b)
{
	for (int i = 0; b->apart && i < s->trained; i++) device_free(device_of(s), b->apart[i]);
	free(b->apart);
	free(b->waits);
	apply_free(b->apply);
	blend_free(b->add);
	graph_free(b->g);
	free(b->gradient);
	free(b->owner);
	free(b->of_node);
	*b = (built){ 0 };
}

static void forget_graphs(stepper *s)
{
	for (int i = 0; i < s->graph_count; i++) free_built(s, &s->graphs[i]);
	s->graph_count = 0;
	s->planned = false;
}

/* Low-rank paths name their parameters while the graph is built: they are added to the model then. A new path begins as
 * zero: down is drawn, up is 0. */
static bool add_paths(const stepper *s, graph *g, error *e)
{
	learner *m = s->task->learner;
	for (int i = 1; s->task->training && i <= node_count(g); i++) {
		const node *n = node_of(g, (tensor)i);
		const char *end = n->op == PARAM ? strstr(n->name, ".lora_") : NULL;
		if (!end || learner_find(m, n->name)) continue;
		if (!learner_add(m, n->name, n->shape, 0, e)) return false;
		if (strcmp(end, ".lora_down")) continue;
		parameter p = { .name = n->name, .shape = n->shape, .dtype = F32 };
		p.start = (initial){ UNIFORM_START, 1 / sqrtf((float)shape_count(n->shape) / (float)n->shape.d[0]) };
		parameter_fill(&p, (uint64_t)s->options->seed, false, learner_find(m, n->name)->value);
	}
	return true;
}

static bool differentiate(stepper *s, built *b, error *e)
{
	graph *g = b->g;
	int most = s->task->learner->count;
	tensor *nodes = calloc((size_t)most + 1, sizeof *nodes);
	int *indices = calloc((size_t)most + 1, sizeof *indices);
	if (!nodes || !indices) {
		free(nodes);
		free(indices);
		return fail(e, NO_MEMORY, "no memory for a graph");
	}
	int n = learner_mark_trained(s->task->learner, g, nodes, indices);
	if (!s->indices) {
		s->indices = indices;
		s->trained = n;
	} else {
		free(indices);
	}
	b->gradient = calloc((size_t)n + 1, sizeof *b->gradient);
	b->owner = calloc((size_t)n + 1, sizeof *b->owner);
	b->waits = calloc((size_t)n + 1, sizeof *b->waits);
	b->apart = calloc((size_t)n + 1, sizeof *b->apart);
	bool fine = (b->gradient && b->owner && b->waits && b->apart) || fail(e, NO_MEMORY, "no memory for a graph");
	if (fine && !n) fine = fail(e, BAD_USAGE, "nothing is trained");
	if (fine && !gradients(g, b->loss, nodes, n, b->gradient))
		fine = fail(e, graph_error(g)->status, "%s", graph_error(g)->text);
	free(nodes);
	return fine;
}

/* A team's gradients leave while the backward pass goes on, unless they are added up first. */
static bool sends_at_once(const stepper *s)
{
	return team_size(s->team) > 1 && s->options->gradient_accumulation_steps == 1;
}

/* Gradients stay until the step ends; a team's leave as soon as they are complete. */
static bool watch_gradients(const stepper *s, built *b, error *e)
{
	b->nodes = node_count(b->g) + 1;
	b->of_node = malloc((size_t)b->nodes * sizeof *b->of_node);
	if (!b->of_node) return fail(e, NO_MEMORY, "no memory for a graph");
	for (int i = 0; i < b->nodes; i++) b->of_node[i] = -1;
	for (int i = 0; i < s->trained; i++) {
		tensor t = b->gradient[i];
		if (t && b->of_node[t] < 0) b->of_node[t] = i;
		b->owner[i] = t ? b->of_node[t] : i;
		if (!t) continue;
		if (sends_at_once(s)) graph_watch(b->g, t);
		keep(b->g, t);
	}
	return true;
}

static optimizer_options how_to_optimize(const stepper *s)
{
	const train_options *o = s->options;
	optimizer_options how = { .beta1 = (float)o->adam_beta1,
		.beta2 = (float)o->adam_beta2,
		.epsilon = (float)o->adam_epsilon,
		.weight_decay = (float)o->adam_weight_decay,
		.momentum = (float)o->momentum };
	optimizer_from_name(o->optimizer, &how.kind);
	return how;
}

static size_t bytes_of(const graph *g)
{
	size_t values = graph_arena_bytes(g), setup = graph_setup_bytes(g);
	return graph_constant_bytes(g) + (values > setup ? values : setup);
}

static memory_plan plan_of(const stepper *s, const built *b)
{
	const train_options *o = s->options;
	const task *t = s->task;
	optimizer_options how = how_to_optimize(s);
	size_t constants = graph_constant_bytes(b->g), copies = 1 + (o->gradient_accumulation_steps > 1);
	memory_plan p = { .frozen = constants + learner_joined_bytes(t->learner), .values = bytes_of(b->g) - constants };
	if (t->others) p.others = t->others(t->context);
	for (int i = 0; i < s->trained; i++) {
		const learner_weight *w = &t->learner->weights[s->indices[i]];
		p.optimizer += optimizer_bytes(&how, 1, &w->shape);
		p.weights += (copies + (o->use_ema && !w->group)) * shape_count(w->shape) * sizeof(float);
	}
	return p;
}

/* What does not fit is refused here, with the figure, and not killed after hours. What of the plan is there already, as
 * when a second shape of batches comes, is not needed once more. */
static bool check_room(const stepper *s, const built *b, error *e)
{
	memory_plan p = plan_of(s, b);
	if (s->optimizer) p.weights = p.optimizer = p.others = 0;
	return memory_plan_fits(&p, device_of(s), s->optimizer != NULL, b->count, b->height, b->width, e);
}

static bool build(stepper *s, built *b, error *e)
{
	const task *t = s->task;
	graph *g = b->g = graph_new(strcmp(s->options->mixed_precision, "bf16") ? REAL : BF16);
	if (!g) return fail(e, NO_MEMORY, "no memory for a graph");
	nn n = { .g = g, .training = t->training };
	graph_recompute(g, s->options->gradient_checkpointing);
	if (t->change) t->change(t->context, s->later);
	b->loss = t->build(t->context, &n, b->count, b->height, b->width);
	keep(g, b->loss);
	if (failed(graph_error(g))) return fail(e, graph_error(g)->status, "%s", graph_error(g)->text);
	return add_paths(s, g, e) && differentiate(s, b, e) && watch_gradients(s, b, e) &&
	       graph_bind(g, learner_bind_unfilled, t->learner, e) &&
	       graph_compile(g, learner_backend(t->learner), s->threads, e);
}

/* Trained weights get their memory only when the plan is known to fit. */
static bool settle_weights(const stepper *s, const built *b, error *e)
{
	learner_fill(s->task->learner);
	if (!learner_settle(s->task->learner, e)) return false;
	for (int i = 0; i < s->trained; i++) {
		tensor t = find(b->g, weight_of(s, i)->name);
		if (t) graph_rebind(b->g, t, weight_of(s, i)->own_value);
	}
	return true;
}

/* A direct team sums gradients where they lie: not before the backward pass has read them, and not two that lie at one
 * place, of which all but the first get memory of their own. */
static bool set_apart(const stepper *s, built *b, error *e)
{
	if (!team_is_direct(s->team) || s->sums) return true;
	for (int i = 0; i < s->trained; i++) {
		if (!b->gradient[i] || b->owner[i] != i) continue;
		const void *at = graph_address(b->g, b->gradient[i]);
		b->waits[i] = graph_is_read(b->g, b->gradient[i]);
		for (int k = 0; k < i && !b->apart[i]; k++) {
			if (!b->gradient[k] || b->owner[k] != k || graph_address(b->g, b->gradient[k]) != at) continue;
			b->waits[i] = b->waits[k] = true;
			if (!(b->apart[i] = device_alloc(device_of(s), elements(s, i) * sizeof(float))))
				return fail(e, NO_MEMORY, "no memory for the gradient of '%s'", weight_of(s, i)->name);
		}
	}
	return true;
}

static bool copy_apart(const stepper *s, const built *b, error *e)
{
	const device *d = device_of(s);
	for (int i = 0; i < s->trained; i++)
		if (b->apart[i] &&
		    !d->copy(d->context, b->apart[i], graph_address(b->g, b->gradient[i]), elements(s, i) * sizeof(float), e))
			return false;
	return true;
}

static bool make_ready(const stepper *s, built *b, error *e)
{
	if (b->ready) return true;
	return b->ready = check_room(s, b, e) && settle_weights(s, b, e) && graph_allocate(b->g, NULL, NULL, e) &&
	                  set_apart(s, b, e);
}

/* The graphs that use what b computes; the optimizer and the sums are there. */
static bool build_changes(stepper *s, built *b, error *e)
{
	if (b->apply) return true;
	const backend *home = learner_backend(s->task->learner);
	size_t n = (size_t)s->trained + 1;
	change *changes = calloc(n, sizeof *changes);
	float **fresh = calloc(n, sizeof *fresh);
	shape *shapes = calloc(n, sizeof *shapes);
	bool fine = (changes && fresh && shapes) || fail(e, NO_MEMORY, "no memory for the optimizer's steps");
	for (int i = 0; fine && i < s->trained; i++) {
		const learner_weight *w = weight_of(s, i);
		shapes[i] = w->shape;
		fresh[i] = b->owner[i] == i ? graph_address(b->g, b->gradient[i]) : NULL;
		changes[i] =
		    (change){ w->name, w->shape, w->own_value, gradient_at(s, b, i), w->group, w->rate > 0 ? w->rate : 1 };
	}
	if (fine && s->sums) fine = (b->add = blend_new(home, s->threads, s->sums, fresh, shapes, s->trained, e));
	fine = fine && (b->apply = apply_new(s->optimizer, home, s->threads, changes, s->trained, e));
	free(changes);
	free(fresh);
	free(shapes);
	return fine;
}

static built *compiled_for(stepper *s, int count, int height, int width, error *e)
{
	for (int i = 0; i < s->graph_count; i++) {
		built *b = &s->graphs[i];
		if (b->count == count && b->height == height && b->width == width) return b;
	}
	if (s->graph_count == MOST_GRAPHS) return fail(e, NO_MEMORY, "more than %d shapes of batches", MOST_GRAPHS), NULL;
	built *b = &s->graphs[s->graph_count];
	*b = (built){ .count = count, .height = height, .width = width };
	if (!build(s, b, e)) return free_built(s, b), NULL;
	graph_profile(b->g, s->profiled);
	s->graph_count++;
	return b;
}

static built *built_for(stepper *s, int count, int height, int width, error *e)
{
	built *b = compiled_for(s, count, height, width, e);
	if (!b || make_ready(s, b, e)) return b;
	free_built(s, b); /* it is the last one, or its memory was never there */
	s->graph_count -= b == &s->graphs[s->graph_count - 1];
	return NULL;
}

bool stepper_plan(stepper *s, int count, int height, int width, memory_plan *p, error *e)
{
	const built *b = compiled_for(s, count, height, width, e);
	if (b) *p = plan_of(s, b);
	return b != NULL;
}

/* ── the team ── */
/* Whole weights are shared out, each to the process that has the fewest numbers so far. */
static bool choose_holders(stepper *s, error *e)
{
	int size = team_size(s->team);
	if (!s->options->shard_optimizer || size == 1) return true;
	size_t *held = calloc((size_t)size, sizeof *held);
	s->holder = calloc((size_t)s->trained + 1, sizeof *s->holder);
	for (int i = 0; held && s->holder && i < s->trained; i++) {
		for (int k = 1; k < size; k++)
			if (held[k] < held[s->holder[i]]) s->holder[i] = k;
		held[s->holder[i]] += elements(s, i);
	}
	bool fine = (held && s->holder) || fail(e, NO_MEMORY, "no memory for the optimizer");
	free(held);
	return fine;
}

/* Gradients will come in the order of their nodes, roughly: they are sorted by them. */
static bool plan_sums(stepper *s, const built *b, error *e)
{
	if (team_size(s->team) == 1 || s->planned) return true;
	size_t *sizes = calloc((size_t)s->trained + 1, sizeof *sizes);
	int *order = calloc((size_t)s->trained + 1, sizeof *order), n = 0;
	bool fine = (sizes && order) || fail(e, NO_MEMORY, "no memory for the team");
	for (int t = 1; fine && t < b->nodes; t++)
		if (b->of_node[t] >= 0) order[n++] = b->of_node[t];
	for (int i = 0; fine && i < s->trained; i++) sizes[i] = elements(s, i);
	fine = fine && team_plan(s->team, s->trained, sizes, order, n, e);
	s->planned = fine;
	free(sizes);
	free(order);
	return fine;
}

static bool share_weights(const stepper *s, error *e)
{
	bool direct = team_is_direct(s->team);
	if (!s->holder) return true;
	if (!direct && !learner_download(s->task->learner, e)) return false;
	float **values = calloc((size_t)s->trained + 1, sizeof *values);
	size_t *sizes = calloc((size_t)s->trained + 1, sizeof *sizes);
	bool fine = (values && sizes) || fail(e, NO_MEMORY, "no memory for the team");
	for (int i = 0; fine && i < s->trained; i++) {
		values[i] = direct ? weight_of(s, i)->own_value : weight_of(s, i)->value;
		sizes[i] = elements(s, i);
	}
	fine = fine && team_share(s->team, s->trained, values, sizes, s->holder, e) &&
	       (direct || learner_upload(s->task->learner, e));
	free(values);
	free(sizes);
	return fine;
}

/* ── the state ── */
static bool make_state(stepper *s, error *e)
{
	const train_options *o = s->options;
	optimizer_options how = how_to_optimize(s);
	shape *shapes = calloc((size_t)s->trained + 1, sizeof *shapes);
	bool *elsewhere = calloc((size_t)s->trained + 1, sizeof *elsewhere);
	bool sums = o->gradient_accumulation_steps > 1;
	if (sums) s->sums = calloc((size_t)s->trained + 1, sizeof *s->sums);
	bool fine = (shapes && elsewhere && (s->sums || !sums)) || fail(e, NO_MEMORY, "no memory for the optimizer");
	fine = fine && choose_holders(s, e);
	for (int i = 0; fine && i < s->trained; i++) {
		shapes[i] = weight_of(s, i)->shape;
		elsewhere[i] = s->holder && s->holder[i] != team_rank(s->team);
		if (sums && !(s->sums[i] = device_alloc(device_of(s), shape_count(shapes[i]) * sizeof(float))))
			fine = fail(e, NO_MEMORY, "no memory for accumulated gradients");
	}
	fine = fine && (s->optimizer = optimizer_new(&how, s->trained, shapes, elsewhere, device_of(s), e));
	free(shapes);
	free(elsewhere);
	return fine && (!o->use_ema || learner_start_average(s->task->learner, e));
}

void stepper_seek(stepper *s, int64_t number)
{
	bool later = s->task->change && number >= s->task->changes_at;
	if (later != s->later) forget_graphs(s);
	s->later = later;
}

bool stepper_prepare(stepper *s, int count, int height, int width, error *e)
{
	built *b = built_for(s, count, height, width, e);
	return b && (s->optimizer || make_state(s, e)) && build_changes(s, b, e);
}

stepper *stepper_new(const task *t, const train_options *o, team *together, int threads, error *e)
{
	stepper *s = calloc(1, sizeof *s);
	if (!s) return fail(e, NO_MEMORY, "no memory for training"), NULL;
	s->task = t;
	s->options = o;
	s->team = together;
	s->threads = threads;
	return s;
}

void stepper_free(stepper *s)
{
	if (!s) return;
	forget_graphs(s);
	for (int i = 0; s->sums && i < s->trained; i++) device_free(device_of(s), s->sums[i]);
	free(s->sums);
	blend_free(s->averages);
	free(s->indices);
	free(s->holder);
	optimizer_free(s->optimizer);
	free(s);
}

int stepper_trained(const stepper *s, const int **indices)
{
	*indices = s->indices;
	return s->trained;
}

optimizer *stepper_optimizer(const stepper *s) { return s->optimizer; }
const int *stepper_holders(const stepper *s) { return s->holder; }

bool stepper_gradient(const stepper *s, int i, float *values, error *e)
{
	const float *at = s->running ? gradient_at(s, s->running, i) : NULL;
	return at && device_read(device_of(s), values, at, elements(s, i) * sizeof *values, e);
}

size_t stepper_arena_bytes(const stepper *s)
{
	size_t most = 0;
	for (int i = 0; i < s->graph_count; i++) most += bytes_of(s->graphs[i].g);
	return most;
}

size_t stepper_state_bytes(const stepper *s)
{
	size_t bytes = 0;
	for (int i = 0; i < s->trained; i++) {
		const learner_weight *w = &s->task->learner->weights[s->indices[i]];
		bytes += shape_count(w->shape) * sizeof(float) * (1 + (w->average != NULL) + (s->sums != NULL));
		optimizer_piece p;
		for (int k = 0; optimizer_state(s->optimizer, i, k, &p); k++)
			if (p.data) bytes += dtype_bytes(p.dtype, shape_count(p.shape));
	}
	return bytes;
}

void stepper_profile(stepper *s)
{
	s->profiled = true;
	for (int i = 0; i < s->graph_count; i++) graph_profile(s->graphs[i].g, true);
}

void stepper_dump(const stepper *s, FILE *to)
{
	for (int i = 0; i < s->graph_count; i++) {
		const built *b = &s->graphs[i];
		fprintf(to, "%s%d samples of %d×%d\n", i ? "\n" : "", b->count, b->width, b->height);
		graph_dump(b->g, to);
	}
}

bool stepper_fallbacks(const stepper *s, char *text, size_t room)
{
	const built *b = s->graphs;
	char of_step[300] = "", of_change[300] = "";
	if (!s->graph_count || !b->apply) return false;
	bool one = graph_fallbacks(b->g, of_step, sizeof of_step),
	     other = apply_fallbacks(b->apply, of_change, sizeof of_change);
	snprintf(text, room, "%s%s%s", of_step, one && other ? ", " : "", of_change);
	return one || other;
}

/* ── running ── */
/* Gradient i goes to the team's sum. */
static bool send(stepper *s, int i, error *e) { return team_sum_add(s->team, i, gradient_at(s, s->running, i), e); }

static bool leaves_at_once(const stepper *s, int i) { return sends_at_once(s) && !s->running->waits[i]; }

static bool gradient_done(void *context, tensor t, error *e)
{
	stepper *s = context;
	int i = s->running->of_node[t];
	return i < 0 || !leaves_at_once(s, i) || send(s, i, e);
}

static bool run_batch(stepper *s, const data_batch *b, bool accumulating, bool last, double *loss, error *e)
{
	built *made = built_for(s, b->count, b->height, b->width, e);
	if (!made || (!s->optimizer && !make_state(s, e)) || !build_changes(s, made, e) || !plan_sums(s, made, e))
		return false;
	real value;
	s->running = made;
	watch_fn *done = last && sends_at_once(s) ? gradient_done : NULL;
	if (!s->task->fill(s->task->context, made->g, b, e) || !graph_run(made->g, done, s, e) ||
	    !graph_read(made->g, made->loss, &value, e))
		return false;
	*loss = (double)value;
	return !made->add || blend_run(made->add, accumulating, 1, e);
}

bool stepper_gradients(stepper *s, const data_batch *b, double *loss, error *e)
{
	return run_batch(s, b, false, false, loss, e);
}

/* What did not leave at once goes, and the gradients are the team's. */
static bool sum_over_team(stepper *s, error *e)
{
	const built *b = s->running;
	if (team_size(s->team) == 1) return true;
	if (!copy_apart(s, b, e)) return false;
	for (int i = 0; i < s->trained; i++)
		if (b->gradient[i] && b->owner[i] == i && !leaves_at_once(s, i) && !send(s, i, e)) return false;
	return team_sum_finish(s->team, e);
}

static bool is_finite(const stepper *s, const float *at, size_t n)
{
	float *values = malloc(n * sizeof *values);
	bool fine = values && device_read(device_of(s), values, at, n * sizeof *values, NULL);
	for (size_t i = 0; fine && i < n; i++) fine = isfinite(values[i]);
	free(values);
	return fine;
}

static bool explain(const stepper *s, int64_t number, double loss, error *e)
{
	for (int i = 0; i < s->trained; i++)
		if (!is_finite(s, weight_of(s, i)->own_value, elements(s, i)))
			return fail(
			    e, NOT_FINITE, "step %lld: the weight '%s' is not finite", (long long)number, weight_of(s, i)->name);
	for (int i = 0; i < s->trained; i++) {
		const float *gradient = gradient_at(s, s->running, i);
		if (gradient && !is_finite(s, gradient, elements(s, i)))
			return fail(e, NOT_FINITE, "step %lld: the gradient of '%s' is not finite (loss %g)", (long long)number,
			    weight_of(s, i)->name, loss);
	}
	return fail(e, NOT_FINITE, "step %lld: the loss is %g", (long long)number, loss);
}

bool stepper_apply(stepper *s, int64_t number, double rate, int64_t batches, step_result *r, error *e)
{
	double norms[GROUPS], parts = (double)batches * team_size(s->team);
	bool finite = isfinite(r->loss);
	if (finite &&
	    !apply_run(s->running->apply, s->optimizer, rate, parts, s->options->max_grad_norm, norms, &finite, e))
		return false;
	if (!finite) return explain(s, number, r->loss, e);
	r->gradient_norm = norms[0];
	return share_weights(s, e);
}

bool stepper_average(stepper *s, double decay, error *e)
{
	if (!s->averages) {
		size_t n = (size_t)s->trained + 1;
		float **to = calloc(n, sizeof *to), **from = calloc(n, sizeof *from);
		shape *shapes = calloc(n, sizeof *shapes);
		bool fine = (to && from && shapes) || fail(e, NO_MEMORY, "no memory for the averages");
		for (int i = 0; fine && i < s->trained; i++) {
			const learner_weight *w = weight_of(s, i);
			to[i] = w->own_average;
			from[i] = w->own_average ? w->own_value : NULL;
			shapes[i] = w->shape;
		}
		if (fine)
			s->averages = blend_new(learner_backend(s->task->learner), s->threads, to, from, shapes, s->trained, e);
		free(to);
		free(from);
		free(shapes);
	}
	return s->averages && blend_run(s->averages, decay, 1 - decay, e);
}

bool stepper_step(stepper *s, data *d, int64_t number, double rate, step_result *r, error *e)
{
	*r = (step_result){ 0 };
	stepper_seek(s, number);
	int64_t batches = s->options->gradient_accumulation_steps;
	for (int64_t i = 0; i < batches; i++) {
		data_batch b;
		double loss;
		if (!data_next(d, &b, e) || !run_batch(s, &b, i > 0, i == batches - 1, &loss, e)) return false;
		r->loss += loss / (double)batches;
		r->samples += b.count;
	}
	if (!sum_over_team(s, e) || !team_sum(s->team, &r->loss, 1, e)) return false;
	r->loss /= team_size(s->team);
	return stepper_apply(s, number, rate, batches, r, e);
}
