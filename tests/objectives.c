/* objectives.c - the gradients of everything that is trained, against differences of its loss. Built with real = double
 * (tests/CMakeLists.txt), where what is left over is the difference's own error.
 *
 * A job is run as a user runs it, up to train(), which is this file's: it moves one weight after the other by ±h in all
 * its elements, in a random pattern, and compares how the loss changes with what the gradient says. What a loss holds
 * fixed (detach(): the discriminator's share, for one) is held fixed here too. */
#include "unit/squares.h"
#include "unit/tiny_families.h"
#include "backend/backend.h"
#include "base/random.h"
#include "graph/internal.h"
#include "train/run/trainer.h"

static const double stride = 0x1p-20; /* weights are f32, below 8: rounded to its multiples, they move by it exactly */
static const double tolerance = 1e-6;

static struct outcome {
	int every;   /* of so many weights one is compared */
	int weights; /* compared */
	double worst;
	char name[256]; /* of the worst */
} outcome;

/* A weight that is zero in all elements, as the second factor of a new LoRA, would hide the gradient of the first. */
static void round_weights(learner *m)
{
	generator random;
	generator_seed(&random, 3);
	for (int i = 0; i < m->count; i++) {
		learner_weight *w = &m->weights[i];
		size_t n = shape_count(w->shape);
		bool zero = true;
		for (size_t k = 0; w->trained && k < n; k++) zero &= w->own_value[k] == 0;
		if (w->trained && zero) random_normal(&random, w->own_value, n);
		for (size_t k = 0; w->trained && k < n; k++)
			w->own_value[k] = (float)(round((double)w->own_value[k] / (zero ? 16 : 1) / stride) * stride);
	}
}

typedef struct proof {
	const task *task;
	graph *g;
	tensor loss;
	int count;      /* of trained weights */
	int *indices;   /* [count] in the learner's */
	tensor *nodes;  /* [count]; 0: not in this graph */
	tensor *slopes; /* [count]; 0: the loss does not depend on it */
} proof;

static bool begin(proof *p, const task *t, const train_options *o, const data_batch *b, error *e)
{
	*p = (proof){ .task = t, .g = graph_new(REAL) };
	size_t room = (size_t)t->learner->count + 1;
	p->indices = calloc(room, sizeof *p->indices);
	p->nodes = calloc(room, sizeof *p->nodes);
	p->slopes = calloc(room, sizeof *p->slopes);
	if (!p->g || !p->indices || !p->nodes || !p->slopes) return fail(e, NO_MEMORY, "no memory for a graph");
	nn n = { .g = p->g, .training = t->training };
	graph_recompute(p->g, o->gradient_checkpointing);
	if (t->change) t->change(t->context, true);
	p->loss = t->build(t->context, &n, b->count, b->height, b->width);
	keep(p->g, p->loss);
	p->count = learner_mark_trained(t->learner, p->g, p->nodes, p->indices);
	return true;
}

static bool ready(proof *p, const data_batch *b, error *e)
{
	return graph_bind(p->g, learner_bind, p->task->learner, e) && graph_compile(p->g, backend_reference(), 1, e) &&
	       graph_allocate(p->g, NULL, NULL, e) && p->task->fill(p->task->context, p->g, b, e);
}

static void end(proof *p)
{
	graph_free(p->g);
	free(p->indices);
	free(p->nodes);
	free(p->slopes);
}

/* ── what the loss holds fixed ── */
static bool is_fixed(const node *n) { return n->op == VIEW && n->a[1]; }

static void keep_fixed(proof *p)
{
	for (int i = 1; i <= node_count(p->g); i++)
		if (is_fixed(node_of(p->g, (tensor)i))) keep(p->g, (tensor)i);
}

/* Makes inputs of them, with the values that they have in `from`, whose graph was built in the same way. */
static void cut_fixed(proof *p)
{
	for (int i = 1; i <= node_count(p->g); i++)
		if (is_fixed(node_of(p->g, (tensor)i))) p->g->nodes[i].op = INPUT, p->g->nodes[i].inputs = 0;
}

static bool write_fixed(proof *p, const proof *from, error *e)
{
	bool fine = true;
	for (int i = 1; fine && i <= node_count(p->g); i++)
		if (is_fixed(node_of(from->g, (tensor)i)))
			fine = graph_write(p->g, (tensor)i, graph_address(from->g, (tensor)i), e);
	return fine;
}

/* ── one weight after the other ── */
static double loss_of(const proof *p, bool *fine, error *e)
{
	real loss = 0;
	*fine = *fine && graph_run(p->g, NULL, NULL, e) && graph_read(p->g, p->loss, &loss, e);
	return (double)loss;
}

static void move(float *w, const signed char *way, size_t n, double by)
{
	for (size_t k = 0; k < n; k++) w[k] = (float)((double)w[k] + by * way[k]);
}

/* In a random pattern of the elements that the loss depends on. */
static bool compare(const proof *exact, const proof *forward, int i, error *e)
{
	learner_weight *w = &exact->task->learner->weights[exact->indices[i]];
	const real *slope = graph_address(exact->g, exact->slopes[i]);
	size_t n = shape_count(w->shape);
	signed char *way = calloc(n, 1);
	generator random;
	generator_seed(&random, (uint64_t)i);
	double expected = 0, sum = 0;
	bool fine = way || fail(e, NO_MEMORY, "no memory for a pattern");
	for (size_t k = 0; fine && k < n; k++) {
		float u;
		random_uniform(&random, &u, 1);
		way[k] = slope[k] == 0 ? 0 : u < 0.5F ? -1 : 1;
		expected += (double)slope[k] * way[k];
		sum += fabs((double)slope[k]);
	}
	if (fine) move(w->own_value, way, n, stride);
	double up = loss_of(forward, &fine, e);
	if (fine) move(w->own_value, way, n, -2 * stride);
	double down = loss_of(forward, &fine, e);
	if (fine) move(w->own_value, way, n, stride);
	double off = fabs((up - down) / (2 * stride) - expected) / (sum + 1e-3);
	if (fine && !(off <= outcome.worst)) {
		outcome.worst = off == off ? off : INFINITY;
		snprintf(outcome.name, sizeof outcome.name, "%s", w->name);
	}
	outcome.weights++;
	free(way);
	return fine;
}

static bool prove(const task *t, const train_options *o, const data_batch *b, error *e)
{
	proof exact, fixed, forward;
	learner_fill(t->learner);
	if (!learner_settle(t->learner, e)) return false;
	round_weights(t->learner);
	bool fine = begin(&exact, t, o, b, e) & begin(&fixed, t, o, b, e) & begin(&forward, t, o, b, e);
	fine = fine && gradients(exact.g, exact.loss, exact.nodes, exact.count, exact.slopes) && ready(&exact, b, e) &&
	       graph_run(exact.g, NULL, NULL, e);
	if (fine) keep_fixed(&fixed), cut_fixed(&forward);
	fine = fine && ready(&fixed, b, e) && graph_run(fixed.g, NULL, NULL, e) && ready(&forward, b, e) &&
	       write_fixed(&forward, &fixed, e);
	for (int i = outcome.every / 2; fine && i < exact.count; i += outcome.every)
		if (exact.slopes[i]) fine = compare(&exact, &forward, i, e);
	end(&exact);
	end(&fixed);
	end(&forward);
	return fine;
}

/* In place of the library's, by --wrap. */
bool __wrap_train(
    const task *t, const train_options *o, const data_options *source, const training_listener *l, error *e);
bool __wrap_train(
    const task *t, const train_options *o, const data_options *source, const training_listener *l, error *e)
{
	(void)l;
	data_batch b;
	data *d = data_open(source, e);
	bool fine = d && data_next(d, &b, e) && prove(t, o, &b, e);
	data_close(d);
	return fine;
}

/* ── the jobs ── */
/* The same with an autoencoder of 8 pixels to a side of a latent position, as control networks take it. */
static void init_by_eights(const char *name, const char *json)
{
	static const char found[] = "\"ch_mult\":[1,1]";
	char text[4096];
	const char *at = strstr(strstr(json, "\"dd\""), found);
	snprintf(text, sizeof text, "%.*s\"ch_mult\":[1,1,1,1]%s", (int)(at - json), json, at + strlen(found));
	char *size = strstr(text, "\"size\":16");
	memcpy(size, "\"size\":32", 9);
	init_model(name, text, false);
}

static int make_models(void **state)
{
	if (scratch_make(state)) return -1;
	write_squares("squares", "red", red, "a zork thing");
	write_squares("squares", "blue", blue, "a blue thing");
	write_squares("class", "green", green, "a thing");
	init_model("sd1", sd1, false);
	init_model("xl", xl, false);
	init_model("sd3", sd3, false);
	init_by_eights("sd1-8", sd1);
	init_by_eights("xl-8", xl);
	return 0;
}

static void try_job(training_job job, int every, int least, const char *const *settings)
{
	outcome = (struct outcome){ .every = every };
	run(job, settings);
	for (const char *const *s = settings + 4; *s; s++) print_message("%s%s", *s, s[1] ? ", " : "");
	print_message(": %d weights, off by %.1e at most (%s)\n", outcome.weights, outcome.worst, outcome.name);
	if (outcome.worst > tolerance) fail_saying("the gradient of %s is off by %.2e\n", outcome.name, outcome.worst);
	assert_true(outcome.weights >= least);
}
#define TRY(job, every, least, ...) \
	try_job(job, every, least,      \
	    (const char *const[]){      \
	        "train_data_dir=squares", "output=x.safetensors", "threads=1", "train_batch_size=1", __VA_ARGS__, NULL })

#define SD1 "model=sd1-new.safetensors"
#define XL "model=xl-new.safetensors"
#define SD3 "model=sd3-new.safetensors"

static void test_families(void **state)
{
	(void)state;
	TRY(TRAIN_DIFFUSION, 3, 60, SD1, "train_text_encoder=true");
	TRY(TRAIN_DIFFUSION, 3, 70, XL, "train_text_encoder=true", "prediction_type=epsilon");
	TRY(TRAIN_DIFFUSION, 3, 40, SD3, "train_text_encoder=true", "weighting_scheme=logit_normal");
}

/* What a batch asks, and what its loss is multiplied by. */
static void test_objectives(void **state)
{
	(void)state;
	TRY(TRAIN_DIFFUSION, 8, 20, SD1, "snr_gamma=5", "noise_offset=0.1", "gradient_checkpointing=true");
	TRY(TRAIN_DIFFUSION, 8, 20, SD1, "prediction_type=v_prediction", "snr_gamma=5", "zero_terminal_snr=true");
	TRY(TRAIN_DIFFUSION, 8, 20, SD1, "prediction_type=flow", "weighting_scheme=logit_normal");
	TRY(TRAIN_DIFFUSION, 8, 20, SD1, "prediction_type=flow", "weighting_scheme=sigma_sqrt");
	TRY(TRAIN_DIFFUSION, 8, 20, SD1, "prediction_type=flow", "weighting_scheme=cosmap", "train_batch_size=3");
	TRY(TRAIN_DIFFUSION, 8, 20, SD1, "class_data_dir=class", "prior_loss_weight=0.5", "train_batch_size=4");
	TRY(TRAIN_DIFFUSION, 4, 15, SD3, "caption_dropout=0.5", "dropped_captions=zeros", "gradient_checkpointing=true");
}

static void test_what_is_added(void **state)
{
	(void)state;
	TRY(TRAIN_LORA, 5, 25, SD1, "network_dim=2", "network_conv=true", "train_text_encoder=true", "network_dropout=0.3");
	TRY(TRAIN_LORA, 5, 20, XL, "network_dim=2", "train_text_encoder=true", "gradient_checkpointing=true");
	TRY(TRAIN_LORA, 3, 10, SD3, "network_dim=2");
#define WORD "placeholder_token=zork", "initializer_token=blue", "num_vectors=2"
	TRY(TRAIN_EMBEDDING, 1, 1, SD1, WORD);
	TRY(TRAIN_EMBEDDING, 1, 2, XL, WORD);
	TRY(TRAIN_EMBEDDING, 1, 2, SD3, WORD);
}

static void test_control_networks(void **state)
{
	(void)state;
	char hints[100];
	snprintf(hints, sizeof hints, "conditioning_data_dir=%s", scratch_path("squares"));
	TRY(TRAIN_CONTROLNET, 5, 20, "model=sd1-8-new.safetensors", hints);
	TRY(TRAIN_CONTROLNET, 5, 20, "model=xl-8-new.safetensors", hints, "gradient_checkpointing=true");
}

static void test_autoencoder(void **state)
{
	(void)state;
	TRY(TRAIN_AUTOENCODER, 4, 25, SD1, "reconstruction_loss=l2", "kl_weight=0.1");
	TRY(TRAIN_AUTOENCODER, 4, 15, SD1, "reconstruction_loss=l1", "freeze_encoder=true", "kl_weight=0.1");
	TRY(TRAIN_AUTOENCODER, 2, 40, SD1, "reconstruction_loss=l2", "kl_weight=0.1", "disc_weight=0.5", "disc_channels=8",
	    "disc_layers=2", "disc_start=0", "lpips=" GOLDEN_DIR "/train/autoencoder_loss.safetensors");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_objectives),
		cmocka_unit_test(test_what_is_added),
		cmocka_unit_test(test_control_networks),
		cmocka_unit_test(test_autoencoder),
	};
	return cmocka_run_group_tests(tests, make_models, scratch_remove);
}
