/* test_null.c - every public function with nothing, or with nonsense: it refuses, or does nothing, and never ends by a
 * signal. A function of sumi.h that has no row here fails the test. */
#include "sumi.h"
#include "scratch.h"
#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

static sumi_model *model;

/* The call is refused: there is nothing, and its arguments are the reason. Nor is there anything where no caller wants
 * the reason, or where an error is there already, which stays. */
#define REFUSED(nothing)                                                                           \
	do {                                                                                           \
		sumi_error error = { 0 }, *e = &error;                                                     \
		if (!(nothing) || e->status != SUMI_BAD_USAGE || !e->text[0])                              \
			return print_message("line %d: status %d: %s\n", __LINE__, e->status, e->text), false; \
		error = (sumi_error){ SUMI_BAD_FILE, "before" };                                           \
		if (!(nothing) || e->status != SUMI_BAD_FILE)                                              \
			return print_message("line %d: goes on after an error\n", __LINE__), false;            \
		e = NULL;                                                                                  \
		if (!(nothing)) return print_message("line %d: done\n", __LINE__), false;                  \
	} while (0)

static unsigned char black[3 * 4 * 4];

static sumi_image picture(void)
{
	return (sumi_image){ .size = sizeof(sumi_image), .width = 4, .height = 4, .pixels = black };
}

static sumi_options small(void)
{
	sumi_options o = sumi_defaults();
	o.prompt = "cat";
	o.steps = 1;
	o.width = o.height = 64;
	return o;
}

static bool try_devices(void) { return sumi_devices() && sumi_devices()[0]; }
static bool try_version(void) { return sumi_version() && sumi_version()[0]; }
static bool try_listener_init(void)
{
	sumi_listener l;
	sumi_listener_init(NULL, sizeof l);
	sumi_listener_init(&l, 0);
	sumi_listener_init(&l, sizeof l);
	return l.size == sizeof l && !l.progress && !l.note;
}
static bool try_cancel(void)
{
	sumi_cancel_ask(NULL);
	sumi_cancel_free(NULL);
	sumi_cancel *c = sumi_cancel_new();
	sumi_cancel_ask(c);
	sumi_cancel_free(c);
	return c;
}
static bool try_model_options_init(void)
{
	sumi_model_options o;
	sumi_model_options_init(NULL, sizeof o);
	sumi_model_options_init(&o, 0);
	sumi_model_options_init(&o, sizeof o);
	return o.size == sizeof o && !o.loras;
}

/* A struct that is larger than the library's, with something in what the library does not know. */
typedef struct newer_model_options {
	sumi_model_options known;
	char unknown[16];
} newer_model_options;

static const char *const tiny = GOLDEN_DIR "/sd1/model.safetensors";
static const char *const enlarger = GOLDEN_DIR "/upscale/compact_x2.safetensors";

static bool try_open(void)
{
	REFUSED(!sumi_open(NULL, NULL, e));
	if (sumi_open("", NULL, NULL)) return false;
	sumi_model_options o = sumi_model_defaults();
	o.lora_count = 3;
	REFUSED(!sumi_open(tiny, &o, e));
	o.lora_count = -1;
	REFUSED(!sumi_open(tiny, &o, e));
	static const char *const nothing[] = { NULL, NULL };
	o.lora_count = 2;
	o.loras = nothing;
	REFUSED(!sumi_open(tiny, &o, e));
	o = sumi_model_defaults();
	o.threads = INT_MIN;
	REFUSED(!sumi_open(tiny, &o, e));
	o = sumi_model_defaults();
	o.size = 3;
	REFUSED(!sumi_open(tiny, &o, e));
	o.size = SIZE_MAX;
	REFUSED(!sumi_open(tiny, &o, e));
	newer_model_options n = { sumi_model_defaults(), { 1 } };
	n.known.size = sizeof n;
	REFUSED(!sumi_open(tiny, &n.known, e));
	n.unknown[0] = 0; /* nothing of what is new is asked for */
	sumi_model *m = sumi_open(tiny, &n.known, NULL);
	sumi_close(m);
	return m;
}
static bool try_close(void) { return sumi_close(NULL), true; }
static bool try_model_size(void)
{
	int width = 7, height = 7;
	sumi_model_size(NULL, NULL, NULL);
	sumi_model_size(model, NULL, NULL);
	sumi_model_size(NULL, &width, &height);
	return !width && !height;
}
static bool try_model_family(void) { return sumi_model_family(NULL) && !sumi_model_family(NULL)[0]; }
static bool try_hash(void)
{
	char hex[65];
	REFUSED(!sumi_hash(NULL, hex, e));
	REFUSED(!sumi_hash(tiny, NULL, e));
	return true;
}
static bool try_image_new(void)
{
	REFUSED(!sumi_image_new(-5, 3, NULL, e));
	REFUSED(!sumi_image_new(0, 0, NULL, e));
	sumi_error e = { 0 };
	sumi_image *huge = sumi_image_new(INT_MAX, INT_MAX, NULL, &e);
	return !huge && e.status;
}
static bool try_image_read(void)
{
	REFUSED(!sumi_image_read(NULL, e));
	return true;
}
static bool try_image_decode(void)
{
	REFUSED(!sumi_image_decode(NULL, 10, e));
	sumi_error e = { 0 };
	return !sumi_image_decode(NULL, 0, &e) && e.status && (e.status = SUMI_OK, !sumi_image_decode("x", 1, &e)) &&
	       e.status;
}
static bool try_image_size_of(void)
{
	int w = 0, h = 0;
	return !sumi_image_size_of(NULL, 10, &w, &h) && !sumi_image_size_of("x", 1, &w, &h) &&
	       !sumi_image_size_of("x", 1, NULL, &h) && !sumi_image_size_of("x", 1, &w, NULL);
}
static bool try_image_write(void)
{
	char path[128];
	snprintf(path, sizeof path, "%s/x.png", scratch);
	REFUSED(!sumi_image_write(NULL, path, e));
	sumi_image p = picture();
	REFUSED(!sumi_image_write(&p, NULL, e));
	p.pixels = NULL;
	REFUSED(!sumi_image_write(&p, path, e));
	p = picture();
	p.width = -5;
	REFUSED(!sumi_image_write(&p, path, e));
	p = picture();
	p.size = 0;
	REFUSED(!sumi_image_write(&p, path, e));
	p = picture();
	sumi_error e = { 0 };
	return !sumi_image_write(&p, "/dev/null/x.png", &e) && e.status == SUMI_BAD_FILE;
}
static bool try_image_encode(void)
{
	unsigned char *bytes;
	size_t count;
	sumi_image p = picture();
	REFUSED(!sumi_image_encode(NULL, "png", 0, &bytes, &count, e));
	REFUSED(!sumi_image_encode(&p, NULL, 0, &bytes, &count, e));
	REFUSED(!sumi_image_encode(&p, "bmp", 0, &bytes, &count, e));
	REFUSED(!sumi_image_encode(&p, "jpeg", 900, &bytes, &count, e));
	REFUSED(!sumi_image_encode(&p, "png", 0, NULL, &count, e));
	REFUSED(!sumi_image_encode(&p, "png", 0, &bytes, NULL, e));
	p.height = 0;
	REFUSED(!sumi_image_encode(&p, "png", 0, &bytes, &count, e));
	return true;
}
static bool try_image_free(void) { return sumi_image_free(NULL), true; }
static bool try_image_grid(void)
{
	sumi_image p = picture(), broken = picture();
	broken.pixels = NULL;
	const sumi_image *good[] = { &p, &p }, *bad[] = { &p, NULL }, *worse[] = { &broken };
	REFUSED(!sumi_image_grid(NULL, 2, 1, 0, e));
	REFUSED(!sumi_image_grid(good, 0, 1, 0, e));
	REFUSED(!sumi_image_grid(good, -1, 1, 0, e));
	REFUSED(!sumi_image_grid(good, 2, 0, 0, e));
	REFUSED(!sumi_image_grid(good, 2, 1, -3, e));
	REFUSED(!sumi_image_grid(bad, 2, 1, 0, e));
	REFUSED(!sumi_image_grid(worse, 1, 1, 0, e));
	sumi_error e = { 0 };
	return !sumi_image_grid(good, 2, 2, INT_MAX, &e) && e.status;
}
static bool try_image_resize(void)
{
	sumi_image p = picture();
	REFUSED(!sumi_image_resize(NULL, 2, 2, e));
	REFUSED(!sumi_image_resize(&p, 0, 2, e));
	REFUSED(!sumi_image_resize(&p, 2, -1, e));
	REFUSED(!sumi_image_resize(&p, INT_MAX, INT_MAX, e));
	p.pixels = NULL;
	REFUSED(!sumi_image_resize(&p, 2, 2, e));
	return true;
}
static bool try_image_edges(void)
{
	sumi_image p = picture();
	REFUSED(!sumi_image_edges(NULL, 100, 200, e));
	REFUSED(!sumi_image_edges(&p, 200, 100, e));
	REFUSED(!sumi_image_edges(&p, -1, 100, e));
	p.width = 0;
	REFUSED(!sumi_image_edges(&p, 100, 200, e));
	return true;
}
static bool try_image_attention(void)
{
	float map[4] = { 0 };
	sumi_image p = picture();
	REFUSED(!sumi_image_attention(NULL, 0, e));
	REFUSED(!sumi_image_attention(&p, 0, e));
	p.attention = map;
	p.attention_count = 1;
	REFUSED(!sumi_image_attention(&p, 0, e));
	p.attention_width = p.attention_height = 2;
	REFUSED(!sumi_image_attention(&p, 1, e));
	REFUSED(!sumi_image_attention(&p, -1, e));
	sumi_image *heat = sumi_image_attention(&p, 0, NULL);
	sumi_image_free(heat);
	return heat != NULL;
}
static bool try_image_writable(void)
{
	REFUSED(!sumi_image_writable(NULL, e));
	return true;
}
static bool try_options_init(void)
{
	sumi_options o;
	sumi_options_init(NULL, sizeof o);
	sumi_options_init(&o, 0);
	sumi_options_init(&o, sizeof o);
	return o.size == sizeof o && o.steps == 20;
}
static bool try_generate(void)
{
	sumi_options o = small();
	REFUSED(!sumi_generate(NULL, &o, e));
	REFUSED(!sumi_generate(model, NULL, e));
	o.size = 5;
	REFUSED(!sumi_generate(model, &o, e));
	o = small(), o.prompt = NULL;
	sumi_image_free(sumi_generate(model, &o, NULL));
	o = small(), o.width = -64;
	REFUSED(!sumi_generate(model, &o, e));
	o = small(), o.width = INT_MAX - 7;
	sumi_error huge = { 0 };
	if (sumi_generate(model, &o, &huge) || !huge.status) return false;
	o = small(), o.steps = INT_MIN;
	REFUSED(!sumi_generate(model, &o, e));
	o = small(), o.sampler = "no such";
	REFUSED(!sumi_generate(model, &o, e));
	sumi_image p = picture();
	o = small(), o.mask = &p; /* without init */
	REFUSED(!sumi_generate(model, &o, e));
	o = small(), o.init = &p, p.pixels = NULL;
	REFUSED(!sumi_generate(model, &o, e));
	p = picture(), p.width = -5, p.height = 3;
	REFUSED(!sumi_generate(model, &o, e));
	p = picture(), p.size = 1;
	REFUSED(!sumi_generate(model, &o, e));
	sumi_image q = picture();
	p = picture(), q.pixels = NULL, o.mask = &q;
	REFUSED(!sumi_generate(model, &o, e));
	sumi_listener l = sumi_listener_defaults();
	l.size = 2;
	o = small(), o.listener = &l;
	REFUSED(!sumi_generate(model, &o, e));
	o = small(), o.strength = 0.0 / 0.0, o.init = &p, p = picture();
	REFUSED(!sumi_generate(model, &o, e));
	o = small(), o.guidance = 0.0 / 0.0;
	REFUSED(!sumi_generate(model, &o, e));
	return true;
}
static bool try_session_options_init(void)
{
	sumi_session_options o;
	sumi_session_options_init(NULL, sizeof o);
	sumi_session_options_init(&o, 0);
	sumi_session_options_init(&o, sizeof o);
	return o.size == sizeof o && !o.max_memory;
}
static bool try_session_open(void)
{
	sumi_session_options o = sumi_session_defaults();
	REFUSED(!sumi_session_open(NULL, &o, e));
	o.size = 3;
	REFUSED(!sumi_session_open(model, &o, e));
	return true;
}
static bool try_session_nothing(void)
{
	sumi_session_close(NULL);
	sumi_session_trim(NULL, 0);
	sumi_options o = small();
	return !sumi_session_bytes(NULL) && !sumi_session_at_once(NULL, &o);
}
static bool try_session_draw(void)
{
	sumi_options o = small();
	const sumi_options *list[] = { &o, NULL };
	sumi_image *pictures[2];
	sumi_error nothing = { 0 };
	REFUSED(!sumi_session_draw(NULL, &o, e));
	REFUSED(!sumi_session_draw_batch(NULL, list, 1, pictures, e));
	sumi_session *s = sumi_session_open(model, NULL, &nothing);
	if (!s || sumi_session_at_once(s, NULL)) return false;
	o.width = o.height = INT_MAX;
	if (sumi_session_at_once(s, &o) != 1) return false;
	o = small();
	REFUSED(!sumi_session_draw(s, NULL, e));
	REFUSED(!sumi_session_draw_batch(s, NULL, 1, pictures, e));
	REFUSED(!sumi_session_draw_batch(s, list, 1, NULL, e));
	REFUSED(!sumi_session_draw_batch(s, list, 0, pictures, e));
	REFUSED(!sumi_session_draw_batch(s, list, -7, pictures, e));
	REFUSED(!sumi_session_draw_batch(s, list, 2, pictures, e) && !pictures[0] && !pictures[1]);
	sumi_session_close(s);
	return true;
}
static bool try_control_init(void)
{
	sumi_control c;
	sumi_control_init(NULL, sizeof c);
	sumi_control_init(&c, 0);
	sumi_control_init(&c, sizeof c);
	sumi_options o = small();
	o.control_count = 1;
	REFUSED(!sumi_generate(model, &o, e));
	o.control_count = -1;
	REFUSED(!sumi_generate(model, &o, e));
	o.control_count = INT_MAX;
	o.controls = (const sumi_control *const[]){ &c };
	REFUSED(!sumi_generate(model, &o, e));
	o.control_count = 1;
	REFUSED(!sumi_generate(model, &o, e));
	return c.size == sizeof c && c.strength == 1;
}
static bool try_ip_adapter_init(void)
{
	sumi_ip_adapter a;
	sumi_ip_adapter_init(NULL, sizeof a);
	sumi_ip_adapter_init(&a, 0);
	sumi_ip_adapter_init(&a, sizeof a);
	sumi_options o = small();
	o.ip_adapter_count = 1;
	REFUSED(!sumi_generate(model, &o, e));
	o.ip_adapter_count = -1;
	REFUSED(!sumi_generate(model, &o, e));
	o.ip_adapter_count = INT_MAX;
	o.ip_adapters = (const sumi_ip_adapter *const[]){ &a };
	REFUSED(!sumi_generate(model, &o, e));
	o.ip_adapter_count = 1;
	REFUSED(!sumi_generate(model, &o, e));
	return a.size == sizeof a && a.strength == 1 && a.to == 1;
}
static bool try_upscaler_options_init(void)
{
	sumi_upscaler_options o;
	sumi_upscaler_options_init(NULL, sizeof o);
	sumi_upscaler_options_init(&o, 0);
	sumi_upscaler_options_init(&o, sizeof o);
	sumi_upscale_options p;
	sumi_upscale_options_init(NULL, sizeof p);
	sumi_upscale_options_init(&p, 0);
	sumi_upscale_options_init(&p, sizeof p);
	return o.size == sizeof o && !o.threads && p.size == sizeof p && p.tile_pad == 10;
}
static bool try_upscale(void)
{
	sumi_upscaler_options how = sumi_upscaler_defaults();
	sumi_upscale_options o = sumi_upscale_defaults();
	sumi_image image = picture();
	REFUSED(!sumi_upscaler_open(NULL, NULL, e));
	how.threads = -1;
	REFUSED(!sumi_upscaler_open(enlarger, &how, e));
	how = sumi_upscaler_defaults(), how.type = "f7";
	REFUSED(!sumi_upscaler_open(enlarger, &how, e));
	how = sumi_upscaler_defaults(), how.size = 1;
	REFUSED(!sumi_upscaler_open(enlarger, &how, e));
	if (sumi_upscaler_open(tiny, NULL, NULL) || sumi_upscaler_scale(NULL)) return false;
	REFUSED(!sumi_upscale(NULL, &image, &o, e));
	sumi_upscaler *u = sumi_upscaler_open(enlarger, NULL, NULL);
	if (!u) return false;
	REFUSED(!sumi_upscale(u, NULL, &o, e));
	o.tile = 3;
	REFUSED(!sumi_upscale(u, &image, &o, e));
	o.tile = 0, o.tile_pad = -1;
	REFUSED(!sumi_upscale(u, &image, &o, e));
	o = sumi_upscale_defaults(), o.size = 0;
	REFUSED(!sumi_upscale(u, &image, &o, e));
	image.pixels = NULL;
	REFUSED(!sumi_upscale(u, &image, NULL, e));
	sumi_upscaler_close(u);
	sumi_upscaler_close(NULL);
	return true;
}
static void count_values(void *context, const char *name, const char *value) { *(int *)context += *name && value; }
static bool try_parameters(void)
{
	int n = 0;
	REFUSED(!sumi_parameters_read(NULL, count_values, &n, e));
	REFUSED(!sumi_parameters_read("x", NULL, &n, e));
	return !n && sumi_parameters_read("a cat\nSteps: 2, Sampler: Euler, Seed: 3", count_values, &n, NULL) && n == 4 &&
	       !sumi_parameters_read("{", count_values, &n, NULL) && !sumi_parameters_read("", count_values, &n, NULL);
}
static bool try_names(void)
{
	const char *(*const lists[])(
	    int) = { sumi_sampler_name, sumi_schedule_name, sumi_guidance_name, sumi_family_name, sumi_type_name };
	for (int i = 0; i < 5; i++)
		if (!lists[i](0) || lists[i](-1) || lists[i](INT_MIN) || lists[i](INT_MAX)) return false;
	return true;
}
static bool ignore(void *context, const void *bytes, size_t count)
{
	(void)context, (void)bytes, (void)count;
	return true;
}
static void count_pieces(void *context, const char *text, size_t length, double weight)
{
	(void)text;
	(void)length;
	(void)weight;
	++*(int *)context;
}
static bool try_prompt_read(void)
{
	int n = 0, tokens = 5, room = 5;
	REFUSED(!sumi_prompt_read(NULL, "a", &tokens, &room, count_pieces, &n, e));
	REFUSED(!sumi_prompt_read(model, NULL, &tokens, &room, count_pieces, &n, e));
	return !n && !tokens && !room && sumi_prompt_read(model, "a (cat)", NULL, NULL, NULL, NULL, NULL);
}
static void count_tokens(void *context, int encoder, int id, const char *text)
{
	(void)encoder, (void)id, (void)text;
	++*(int *)context;
}
static bool try_prompt_tokens(void)
{
	int n = 0;
	REFUSED(!sumi_prompt_tokens(NULL, "a", count_tokens, &n, e));
	REFUSED(!sumi_prompt_tokens(model, NULL, count_tokens, &n, e));
	REFUSED(!sumi_prompt_tokens(model, "a", NULL, &n, e));
	return !n && sumi_prompt_tokens(model, "a cat", count_tokens, &n, NULL) && n == 2;
}
static bool try_image_parameters(void)
{
	int width = 5;
	REFUSED(!sumi_image_parameters(NULL, &width, NULL, e));
	return !sumi_image_parameters("/nowhere.png", &width, NULL, NULL) && !width;
}
static bool try_dump(void)
{
	sumi_options o = small();
	REFUSED(!sumi_dump(NULL, &o, "denoise", false, ignore, NULL, e));
	REFUSED(!sumi_dump(model, NULL, "denoise", false, ignore, NULL, e));
	REFUSED(!sumi_dump(model, &o, NULL, false, ignore, NULL, e));
	REFUSED(!sumi_dump(model, &o, "no such", false, ignore, NULL, e));
	REFUSED(!sumi_dump(model, &o, "denoise", false, NULL, NULL, e));
	return true;
}
static bool try_training_listener_init(void)
{
	sumi_training_listener l;
	sumi_training_listener_init(NULL, sizeof l);
	sumi_training_listener_init(&l, 0);
	sumi_training_listener_init(&l, sizeof l);
	return l.size == sizeof l && !l.progress;
}
static bool try_training_new(void)
{
	REFUSED(!sumi_training_new(NULL, e));
	REFUSED(!sumi_training_new("no such", e));
	return true;
}
static bool try_training_free(void) { return sumi_training_free(NULL), true; }
static bool try_training_set(void)
{
	sumi_training *run = sumi_training_new("lora", NULL);
	REFUSED(!sumi_training_set(NULL, "model", "x", e));
	REFUSED(!sumi_training_set(run, NULL, "x", e));
	REFUSED(!sumi_training_set(run, "model", NULL, e));
	REFUSED(!sumi_training_set(run, "no such", "x", e));
	REFUSED(!sumi_training_set(run, "max_train_steps", "", e));
	sumi_training_free(run);
	return true;
}
static bool try_training_get(void)
{
	char text[8];
	sumi_training *run = sumi_training_new("lora", NULL);
	REFUSED(!sumi_training_get(NULL, "model", text, sizeof text, e));
	REFUSED(!sumi_training_get(run, NULL, text, sizeof text, e));
	REFUSED(!sumi_training_get(run, "model", NULL, sizeof text, e));
	REFUSED(!sumi_training_get(run, "model", text, 0, e));
	bool cut = sumi_training_get(run, "max_train_steps", text, 2, NULL) && strlen(text) == 1;
	sumi_training_free(run);
	return cut;
}
static bool try_training_load(void)
{
	sumi_training *run = sumi_training_new("lora", NULL);
	REFUSED(!sumi_training_load(NULL, "x", e));
	REFUSED(!sumi_training_load(run, NULL, e));
	sumi_training_free(run);
	return true;
}
static bool try_training_run(void)
{
	sumi_training *run = sumi_training_new("lora", NULL);
	sumi_training_listener l = sumi_training_listener_defaults();
	REFUSED(!sumi_training_run(NULL, NULL, e));
	REFUSED(!sumi_training_run(run, NULL, e)); /* nothing is set */
	l.size = 1;
	REFUSED(!sumi_training_run(run, &l, e));
	sumi_training_free(run);
	return true;
}
static bool try_training_option_at(void)
{
	sumi_training_option o = { .size = sizeof o };
	if (sumi_training_option_at(NULL, 0, &o) || sumi_training_option_at("no such", 0, &o)) return false;
	if (sumi_training_option_at("lora", -1, &o) || sumi_training_option_at("lora", INT_MAX, &o)) return false;
	sumi_training_option_at("lora", 0, NULL);
	o.size = 0;
	sumi_training_option_at("lora", 0, &o);
	o.size = sizeof o;
	return sumi_training_option_at("lora", 0, &o) && o.name;
}
static bool try_training_find(void)
{
	sumi_training_option o = { .size = sizeof o };
	REFUSED(!sumi_training_find(NULL, "model", &o, e));
	REFUSED(!sumi_training_find("lora", NULL, &o, e));
	REFUSED(!sumi_training_find("lora", "no such", &o, e));
	sumi_training_find("lora", "model", NULL, NULL);
	return sumi_training_find("lora", "model", &o, NULL) && o.name;
}
static bool try_evaluation_options_init(void)
{
	sumi_evaluation_options o;
	sumi_evaluation_options_init(NULL, sizeof o);
	sumi_evaluation_options_init(&o, 0);
	sumi_evaluation_options_init(&o, sizeof o);
	return o.size == sizeof o && o.samples == 2000;
}
static bool try_evaluate(void)
{
	sumi_evaluation_options o = sumi_evaluation_defaults();
	REFUSED(!sumi_evaluate(NULL, &o, e));
	REFUSED(!sumi_evaluate(model, NULL, e));
	REFUSED(!sumi_evaluate(model, &o, e)); /* no data */
	o.data = scratch, o.samples = -1;
	REFUSED(!sumi_evaluate(model, &o, e));
	o = sumi_evaluation_defaults(), o.data = scratch, o.space = "no such";
	REFUSED(!sumi_evaluate(model, &o, e));
	o = sumi_evaluation_defaults(), o.data = scratch, o.size = 3;
	REFUSED(!sumi_evaluate(model, &o, e));
	sumi_options draw = small();
	draw.size = 1;
	o = sumi_evaluation_defaults(), o.data = scratch, o.draw = &draw;
	REFUSED(!sumi_evaluate(model, &o, e));
	return true;
}
static bool try_evaluation_free(void) { return sumi_evaluation_free(NULL), true; }
static bool try_init(void)
{
	char path[128];
	snprintf(path, sizeof path, "%s/m.safetensors", scratch);
	REFUSED(!sumi_init(NULL, 1, NULL, false, path, NULL, e));
	REFUSED(!sumi_init("sd1", 1, NULL, false, NULL, NULL, e));
	REFUSED(!sumi_init("no such", 1, NULL, false, path, NULL, e));
	REFUSED(!sumi_init("sd1", 1, "f7", false, path, NULL, e));
	sumi_listener l = sumi_listener_defaults();
	l.size = 2;
	REFUSED(!sumi_init("sd1", 1, NULL, false, path, &l, e));
	return true;
}
static bool try_info(void)
{
	char *report = (char *)"";
	REFUSED(!sumi_info(NULL, &report, e));
	REFUSED(!sumi_info(tiny, NULL, e));
	return true;
}
static bool try_convert(void)
{
	char path[128];
	snprintf(path, sizeof path, "%s/m.safetensors", scratch);
	REFUSED(!sumi_convert(NULL, path, NULL, NULL, false, NULL, e));
	REFUSED(!sumi_convert(tiny, NULL, NULL, NULL, false, NULL, e));
	REFUSED(!sumi_convert(tiny, path, "f7", NULL, false, NULL, e));
	REFUSED(!sumi_convert(tiny, path, NULL, "no such", false, NULL, e));
	sumi_listener l = sumi_listener_defaults();
	l.size = 2;
	REFUSED(!sumi_convert(tiny, path, NULL, NULL, false, &l, e));
	return true;
}
static bool try_convert_as(void)
{
	char path[128];
	static const char *const nothing[] = { NULL };
	snprintf(path, sizeof path, "%s/m.safetensors", scratch);
	sumi_convert_options o;
	sumi_convert_options_init(NULL, sizeof o);
	sumi_convert_options_init(&o, 0);
	sumi_convert_options_init(&o, sizeof o);
	REFUSED(!sumi_convert_as(NULL, path, NULL, e));
	REFUSED(!sumi_convert_as(tiny, NULL, &o, e));
	o.loras = nothing, o.lora_count = 1;
	REFUSED(!sumi_convert_as(tiny, path, &o, e));
	o.lora_count = 0, o.max_shard = 0;
	REFUSED(!sumi_convert_as(tiny, path, &o, e));
	o.max_shard = 1, o.size = 3;
	REFUSED(!sumi_convert_as(tiny, path, &o, e));
	return true;
}
static bool try_merge(void)
{
	char path[128];
	static const char *const nothing[] = { NULL };
	snprintf(path, sizeof path, "%s/m.safetensors", scratch);
	REFUSED(!sumi_merge(NULL, path, NULL, 0, NULL, NULL, false, NULL, e));
	REFUSED(!sumi_merge(tiny, path, NULL, 1, NULL, NULL, false, NULL, e));
	REFUSED(!sumi_merge(tiny, path, nothing, 1, NULL, NULL, false, NULL, e));
	REFUSED(!sumi_merge(tiny, path, nothing, -1, NULL, NULL, false, NULL, e));
	return true;
}
static bool try_extract(void)
{
	char path[128], *report = (char *)"";
	snprintf(path, sizeof path, "%s/m.safetensors", scratch);
	REFUSED(!sumi_lora_extract(NULL, tiny, path, NULL, &report, e));
	REFUSED(!sumi_lora_extract(tiny, NULL, path, NULL, &report, e));
	REFUSED(!sumi_lora_extract(tiny, tiny, NULL, NULL, NULL, e));
	sumi_error same = { 0 };
	if (sumi_lora_extract(tiny, tiny, path, NULL, &report, &same) || !same.status || report) return false;
	sumi_extract_options o;
	sumi_extract_options_init(NULL, sizeof o);
	sumi_extract_options_init(&o, 0);
	sumi_extract_options_init(&o, sizeof o);
	o.rank = 0;
	REFUSED(!sumi_lora_extract(tiny, tiny, path, &o, NULL, e));
	o.rank = 1, o.conv_rank = -1;
	REFUSED(!sumi_lora_extract(tiny, tiny, path, &o, NULL, e));
	o.conv_rank = 0, o.type = "f8_e4m3";
	REFUSED(!sumi_lora_extract(tiny, tiny, path, &o, NULL, e));
	o.type = NULL, o.keys = "no such";
	REFUSED(!sumi_lora_extract(tiny, tiny, path, &o, NULL, e));
	o.keys = NULL, o.size = 3;
	REFUSED(!sumi_lora_extract(tiny, tiny, path, &o, NULL, e));
	return true;
}
static bool try_free(void) { return sumi_free(NULL), true; }

static const struct row {
	const char *functions; /* that it tries */
	bool (*try)(void);
} rows[] = {
	{ "sumi_version", try_version },
	{ "sumi_devices", try_devices },
	{ "sumi_listener_init", try_listener_init },
	{ "sumi_cancel_new sumi_cancel_ask sumi_cancel_free", try_cancel },
	{ "sumi_model_options_init", try_model_options_init },
	{ "sumi_open", try_open },
	{ "sumi_close", try_close },
	{ "sumi_model_size", try_model_size },
	{ "sumi_model_family", try_model_family },
	{ "sumi_hash", try_hash },
	{ "sumi_image_new", try_image_new },
	{ "sumi_image_read", try_image_read },
	{ "sumi_image_decode", try_image_decode },
	{ "sumi_image_size_of", try_image_size_of },
	{ "sumi_image_write", try_image_write },
	{ "sumi_image_encode", try_image_encode },
	{ "sumi_image_free", try_image_free },
	{ "sumi_image_grid", try_image_grid },
	{ "sumi_image_resize", try_image_resize },
	{ "sumi_image_edges", try_image_edges },
	{ "sumi_image_attention", try_image_attention },
	{ "sumi_image_writable", try_image_writable },
	{ "sumi_options_init", try_options_init },
	{ "sumi_control_init", try_control_init },
	{ "sumi_ip_adapter_init", try_ip_adapter_init },
	{ "sumi_upscaler_options_init sumi_upscale_options_init", try_upscaler_options_init },
	{ "sumi_upscaler_open sumi_upscaler_close sumi_upscaler_scale sumi_upscale", try_upscale },
	{ "sumi_generate", try_generate },
	{ "sumi_session_options_init", try_session_options_init },
	{ "sumi_session_open", try_session_open },
	{ "sumi_session_close sumi_session_trim sumi_session_bytes sumi_session_at_once", try_session_nothing },
	{ "sumi_session_draw sumi_session_draw_batch", try_session_draw },
	{ "sumi_parameters_read", try_parameters },
	{ "sumi_sampler_name sumi_schedule_name sumi_guidance_name sumi_family_name sumi_type_name", try_names },
	{ "sumi_prompt_tokens", try_prompt_tokens },
	{ "sumi_prompt_read", try_prompt_read },
	{ "sumi_image_parameters", try_image_parameters },
	{ "sumi_dump", try_dump },
	{ "sumi_training_listener_init", try_training_listener_init },
	{ "sumi_training_new", try_training_new },
	{ "sumi_training_free", try_training_free },
	{ "sumi_training_set", try_training_set },
	{ "sumi_training_get", try_training_get },
	{ "sumi_training_load", try_training_load },
	{ "sumi_training_run", try_training_run },
	{ "sumi_training_option_at", try_training_option_at },
	{ "sumi_training_find", try_training_find },
	{ "sumi_evaluation_options_init", try_evaluation_options_init },
	{ "sumi_evaluate", try_evaluate },
	{ "sumi_evaluation_free", try_evaluation_free },
	{ "sumi_init", try_init },
	{ "sumi_info", try_info },
	{ "sumi_convert", try_convert },
	{ "sumi_merge", try_merge },
	{ "sumi_convert_options_init sumi_convert_as", try_convert_as },
	{ "sumi_extract_options_init sumi_lora_extract", try_extract },
	{ "sumi_free", try_free },
};

/* Each in a process of its own, so that all that end by a signal are reported. */
static void test_rows(void **state)
{
	(void)state;
	int bad = 0;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int status = 0;
		pid_t child = fork();
		if (!child) {
			for (int k = 0; k < 4; k++) signal((int[]){ SIGSEGV, SIGBUS, SIGFPE, SIGABRT }[k], SIG_DFL); /* cmocka's */
			_exit(rows[i].try() ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		if (!status) continue;
		bad++;
		if (WIFSIGNALED(status))
			print_message("%s: signal %d\n", rows[i].functions, WTERMSIG(status));
		else
			print_message(
			    "%s: not refused, or not as it should be (exit %d)\n", rows[i].functions, WEXITSTATUS(status));
	}
	assert_int_equal(bad, 0);
}

static bool has_row(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		for (const char *at = rows[i].functions; (at = strstr(at, name)); at += length)
			if ((at == rows[i].functions || at[-1] == ' ') && (!at[length] || at[length] == ' ')) return true;
	return false;
}

/* What begins with SUMI_API in the header, up to the first parenthesis. */
static void test_all_functions_have_rows(void **state)
{
	(void)state;
	FILE *header = fopen(SOURCE_DIR "/include/sumi.h", "r");
	assert_non_null(header);
	char line[512];
	int found = 0, missing = 0;
	while (fgets(line, sizeof line, header)) {
		char *open = strchr(line, '(');
		if (strncmp(line, "SUMI_API ", 9) || !open) continue;
		*open = 0;
		char *name = open;
		while (name > line && (isalnum((unsigned char)name[-1]) || name[-1] == '_')) name--;
		found++;
		if (has_row(name, strlen(name))) continue;
		print_message("%s has no row in test_null.c\n", name);
		missing++;
	}
	fclose(header);
	assert_true(found >= 40);
	assert_int_equal(missing, 0);
}

static int open_model(void **state)
{
	model = sumi_open(tiny, NULL, NULL);
	return scratch_make(state) || !model;
}

static int close_model(void **state)
{
	sumi_close(model);
	return scratch_remove(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_all_functions_have_rows) };
	return cmocka_run_group_tests(tests, open_model, close_model);
}
