/* generate.c - sumi generate: from options to pictures in files. */
#include "cli/again.h"
#include "cli/commands.h"
#include "cli/controls.h"
#include "cli/generate.h"
#include "cli/heat_maps.h"
#include "cli/numbering.h"
#include "cli/picture_files.h"
#include "cli/wildcards.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ── files ── */

/* A prompt from a file, for prompts too long for a command line. NULL: it failed, and a message was printed. */
static char *read_prompt(const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	if (!file) {
		complain(3, "%s: %s", path, strerror(errno));
		return NULL;
	}
	enum { LIMIT = 16 << 20 };
	char *text = malloc(LIMIT + 1);
	size_t n = text ? fread(text, 1, LIMIT, file) : 0;
	bool whole = text && feof(file) && !ferror(file);
	if (file != stdin) fclose(file);
	if (!whole) {
		complain(text ? 3 : 4, "%s: could not be read as a prompt (at most 16 MiB)", path);
		free(text);
		return NULL;
	}
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
	text[n] = 0;
	return text;
}

/* ── the work ── */

static void forget_parameters(sumi_image *picture)
{
	if (!picture) return;
	free(picture->parameters);
	picture->parameters = NULL;
}

/* Picture i of a way to the other prompt, and to the other seed. */
static void go_on(sumi_options *o, const generate_settings *s, int i)
{
	double share = (double)i / (double)(s->frames - 1);
	if (s->prompt_to) o->blend = share;
	if (s->variation_seed >= 0) o->variation_strength = share;
}

void write_pictures(sumi_image **pictures, int first, int count, const generate_settings *s, viewer *v, sumi_error *e)
{
	picture_file *files = e->status ? NULL : calloc((size_t)count, sizeof *files);
	if (!e->status && !files) e->status = complain(SUMI_NO_MEMORY, "out of memory for the paths of %d pictures", count);
	for (int i = 0; i < count; i++) {
		if (s->no_metadata) forget_parameters(pictures[i]);
		viewer_finish(v, pictures[i]);
		if (!files) continue;
		files[i].picture = pictures[i];
		numbered_path(files[i].path, sizeof files[i].path, s->output, first + i + 1, (int)s->count);
	}
	if (files) write_picture_files(files, count, e);
	for (int i = 0; i < count; i++) {
		if (files && pictures[i]) write_heat_maps(pictures[i], files[i].path, &s->attention, e);
		sumi_image_free(pictures[i]);
		pictures[i] = NULL;
	}
	free(files);
}

int64_t choose_seed(int64_t seed)
{
	uint32_t random;
	if (seed >= 0 || getrandom(&random, sizeof random, 0) != sizeof random) return seed;
	fprintf(stderr, "seed %lld\n", (long long)random);
	return random;
}

/* False: `e` says so, without a text, for the message is printed. */
static bool fill(sumi_options *o, const generate_settings *s, filled_texts *texts, sumi_error *e)
{
	if (e->status) return false;
	if (!wildcards_fill_options(o, s->wildcards, texts)) *e = (sumi_error){ .status = SUMI_BAD_FILE };
	return !e->status;
}

static void draw_one(sumi_model *model, const generate_settings *s, const sumi_options *o, viewer *v, sumi_error *e)
{
	filled_texts texts = { 0 };
	sumi_options own = *o;
	if (s->wildcards) own.seed = choose_seed(own.seed);
	sumi_image *picture = fill(&own, s, &texts, e) ? sumi_generate(model, &own, e) : NULL;
	filled_texts_free(&texts);
	progress_end(&v->progress);
	if (picture && own.seed < 0) fprintf(stderr, "seed %lld\n", (long long)picture->seed);
	write_pictures(&picture, 0, 1, s, v, e);
}

/* As many at a time as the session draws at once, so that what is finished is written. */
static void draw_many(sumi_model *model, const generate_settings *s, sumi_options o, viewer *v, sumi_error *e)
{
	enum { MOST = 64 };
	sumi_options each[MOST];
	const sumi_options *list[MOST];
	sumi_image *pictures[MOST];
	filled_texts texts = { 0 };
	sumi_session *session = sumi_session_open(model, NULL, e);
	int at_once = sumi_session_at_once(session, &o), n;
	if (at_once > MOST) at_once = MOST;
	o.seed = choose_seed(o.seed);
	for (int first = 0; first < s->count && !e->status; first += n) {
		n = s->count - first < at_once ? (int)s->count - first : at_once;
		for (int i = 0; i < n && !e->status; i++) {
			each[i] = o;
			list[i] = &each[i];
			if (s->frames)
				go_on(&each[i], s, first + i);
			else
				each[i].seed = o.seed + first + i;
			fill(&each[i], s, &texts, e);
		}
		if (!e->status) sumi_session_draw_batch(session, list, n, pictures, e);
		filled_texts_free(&texts);
		progress_end(&v->progress);
		if (!e->status) write_pictures(pictures, first, n, s, v, e);
	}
	sumi_session_close(session);
}

/* What options name and is read before the work. */
typedef struct inputs {
	sumi_image *init, *mask;
	control_options controls;
	ip_adapter_options ip_adapters;
	prompt_list lines;
	axis axes[2];
} inputs;

/* The exit code, after a message; 0: fine, or `e` says what failed. */
static int read_inputs(inputs *in, const generate_settings *s, sumi_options *o, sumi_error *e)
{
	if (s->init) o->init = in->init = sumi_image_read(s->init, e);
	if (s->mask) o->mask = in->mask = sumi_image_read(s->mask, e);
	if (e->status) return 0;
	int code = controls_read(&in->controls, &s->control_nets, &s->control_images, &s->control_modes, in->init, e);
	o->controls = in->controls.list;
	o->control_count = in->controls.count;
	if (!code && !e->status) code = ip_adapters_read(&in->ip_adapters, &s->ip, e);
	o->ip_adapters = in->ip_adapters.list;
	o->ip_adapter_count = in->ip_adapters.count;
	if (!code && s->prompts) code = prompt_list_read(&in->lines, s->prompts);
	return code ? code : generate_axes(s, in->axes);
}

static void free_inputs(inputs *in)
{
	sumi_image_free(in->init);
	sumi_image_free(in->mask);
	controls_free(&in->controls);
	ip_adapters_free(&in->ip_adapters);
	prompt_list_free(&in->lines);
	axis_free(&in->axes[0]);
	axis_free(&in->axes[1]);
}

static int generate(const generate_settings *s, const char *model_path)
{
	sumi_error e = { 0 };
	viewer v = { 0 };
	inputs in = { 0 };
	sumi_options o = sumi_defaults();
	generate_options(&o, s);
	int code = generate_sizes(&o, s);
	if (!code) code = viewer_begin(&v, s->preview, s->output, s->show, s->show_as);
	if (!code) code = read_inputs(&in, s, &o, &e);
	if (code) return free_inputs(&in), code;
	progress_begin(&v.progress, s->verbose, s->quiet);
	sumi_listener l = viewer_listener(&v);
	o.listener = &l;
	sumi_model_options m = model_options(&s->components, &s->machine, &l);
	m.taesd_for_previews = s->preview_by && !strcmp(s->preview_by, "taesd");
	sumi_model *model = sumi_open(model_path, &m, &e);
	if (s->prompts)
		generate_list(model, s, &o, &in.lines, &v, &e);
	else if (s->grid.count)
		generate_sweep(model, s, &o, in.axes, &v, &e);
	else if (s->count == 1)
		draw_one(model, s, &o, &v, &e);
	else
		draw_many(model, s, o, &v, &e);
	progress_end(&v.progress);
	sumi_close(model);
	free_inputs(&in);
	if (e.status && !e.text[0]) return e.status; /* its message is printed */
	if (e.status == SUMI_STOPPED) return complain(e.status, "stopped");
	return e.status ? complain(e.status, "%s", e.text) : 0;
}

/* The picture of --from was made with a model of this hash. */
static void compare_hash(const char *wanted, const char *model)
{
	char hex[65];
	if (sumi_hash(model, hex, NULL) && strncmp(hex, wanted, strlen(wanted)))
		complain(
		    0, "the picture was made with another model, of hash %s; this is %.10s: -m names a model", wanted, hex);
}

/* --grid "steps=10,20" "cfg=4,7": the second axis is a word of its own. */
static void take_second_axis(generate_settings *s, text_list *words)
{
	if (s->grid.count != 1 || !words->count || !strchr(words->item[words->count - 1], '=')) return;
	if (!s->prompt && !s->prompts && words->count == 1) return; /* it is the prompt */
	s->grid.item[s->grid.count++] = words->item[--words->count];
}

/* Checks what belongs together, and draws. */
static int generate_with(generate_settings *s, text_list *words)
{
	char model[4096], path[4096], *from_file = NULL;
	if (s->prompts && (s->grid.count || s->count > 1 || s->frames || s->prompt_file))
		return complain(
		    2, "--prompts draws one picture a line: not with --grid, --batch-count, --frames or --prompt-file");
	if (s->grid.count && s->attention.count)
		return complain(2, "--grid draws one picture of many: it has no maps of --attention");
	if (s->grid.count && (s->count > 1 || s->frames))
		return complain(2, "--grid draws one picture: not with --batch-count or --frames");
	if (words->count > 1)
		return complain(
		    2, "unexpected \"%.80s\": a prompt of several words is one argument, in quotes", words->item[1]);
	if (words->count + !!s->prompt_file + (s->prompt && !words->count) > 1)
		return complain(2, "two prompts: give one of -p and --prompt-file");
	if (words->count) s->prompt = words->item[0];
	if (!s->prompt && !s->prompt_file && !s->prompts) return complain(2, "no prompt: say what to draw with -p \"…\"");
	if (s->frames && !s->prompt_to && s->variation_seed < 0)
		return complain(2, "--frames needs --prompt-to or --variation-seed: where to go");
	if (s->frames && s->count > 1)
		return complain(2, "--frames is the number of pictures: it cannot be combined with --batch-count");
	if (s->frames) s->count = s->frames;
	if (s->mask && !s->init) return complain(2, "--mask needs --init-img");
	if (!numbered_path(path, sizeof path, s->output, (int)s->count, (int)s->count) ||
	    !numbered_path(path, sizeof path, s->output, 1, (int)s->count))
		return complain(2, "--output: the path is too long");
	sumi_error e = { 0 };
	if (!sumi_image_writable(path, &e)) return complain(e.status, "%s", e.text);
	if (!find_model(s->model, model, sizeof model)) return 3;
	if (*s->wanted_hash && !s->quiet) compare_hash(s->wanted_hash, model);
	if (s->prompt_file && !(from_file = read_prompt(s->prompt_file))) return 3;
	if (from_file) s->prompt = from_file;
	int code = generate(s, model);
	free(from_file);
	return code;
}

/* --from: the picture's options as if they stood in front of those that are given. */
static int generate_again(const generate_settings *first, int argc, char **argv)
{
	again a = { 0 };
	generate_settings s = generate_defaults();
	text_list words = { 0 };
	int count = 0, code = again_read(&a, first->from, first->quiet);
	char **all = code ? NULL : again_arguments(&a, argc, argv, &count);
	if (!code && !all) code = complain(4, "out of memory");
	if (!code) code = generate_parse(&s, &words, count, all);
	if (!code && s.prompt_file && !first->prompt) s.prompt = NULL;
	if (!code) snprintf(s.wanted_hash, sizeof s.wanted_hash, "%s", a.model_hash);
	if (!code) take_second_axis(&s, &words);
	if (!code) code = generate_with(&s, &words);
	free(all);
	again_free(&a);
	return code;
}

/* Whether a value was typed, and does not come from the environment or the configuration file. */
static bool was_typed(const char *value, int argc, char **argv)
{
	for (int i = 1; value && i < argc; i++)
		if (value >= argv[i] && value <= strchr(argv[i], 0)) return true;
	return false;
}

int command_generate(int argc, char **argv)
{
	generate_settings s = generate_defaults();
	text_list words = { 0 };
	if (wants_help(argc, argv)) return generate_help();
	int code = generate_parse(&s, &words, argc, argv);
	if (code) return code;
	take_second_axis(&s, &words);
	if (words.count && was_typed(s.prompt, argc, argv))
		return complain(2, "unexpected \"%.80s\": a prompt of several words is one argument, in quotes", words.item[0]);
	if (s.from) return generate_again(&s, argc, argv);
	return generate_with(&s, &words);
}
