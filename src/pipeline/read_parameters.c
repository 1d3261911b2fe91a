/* read_parameters.c - see read_parameters.h. */
#include "pipeline/read_parameters.h"
#include "base/buffer.h"
#include "base/json.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ── A1111 ── */

typedef struct span {
	const char *at;
	size_t n;
} span;

static bool is_space(char c) { return c == ' ' || (c >= 9 && c <= 13) || (c >= 28 && c <= 31); }

static span strip(span s)
{
	while (s.n && is_space(*s.at)) s.at++, s.n--;
	while (s.n && is_space(s.at[s.n - 1])) s.n--;
	return s;
}

/* One value of a line, `\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)`; false: none begins here.
 * *length: where the next can begin. */
static bool value_at(span line, size_t *length, span *name, span *value)
{
	size_t i = 0, n = line.n;
	const char *c = line.at;
	while (i < n && is_space(c[i])) i++;
	size_t begin = i;
	*length = i < n ? i + 1 : n;
	if (i == n || (!isalnum((unsigned char)c[i]) && c[i] != '_' && (unsigned char)c[i] < 128)) return false;
	while (i < n && (isalnum((unsigned char)c[i]) || strchr("_ -/", c[i]) || (unsigned char)c[i] >= 128)) i++;
	*name = (span){ c + begin, i - begin };
	*length = i; /* a name that began later would end here too */
	if (name->n < 2 || i == n || c[i] != ':') return false;
	for (i++; i < n && is_space(c[i]);) i++;
	if (i < n && c[i] == '"') {
		size_t end = i + 1;
		while (end < n && c[end] != '"') end += c[end] == '\\' ? 2 : 1;
		if (end < n && end > i + 1 && (end + 1 == n || c[end + 1] == ',')) {
			*value = (span){ c + i, end + 1 - i };
			*length = end + 1 < n ? end + 2 : n;
			return true;
		}
	}
	begin = i;
	while (i < n && c[i] != ',') i++;
	*value = strip((span){ c + begin, i - begin });
	*length = i < n ? i + 1 : n;
	return true;
}

static char *copy_of(span s)
{
	char *text = malloc(s.n + 1);
	if (!text) return NULL;
	memcpy(text, s.at, s.n);
	text[s.n] = 0;
	return text;
}

/* What is quoted is JSON; where it is not, the quotes stay. */
static char *unquoted(span s)
{
	json_t *json =
	    s.n > 1 && *s.at == '"' && s.at[s.n - 1] == '"' ? json_loadb(s.at, s.n, JSON_DECODE_ANY, NULL) : NULL;
	char *text = json_is_string(json) ? strdup(json_string_value(json)) : copy_of(s);
	json_decref(json);
	return text;
}

/* The values of a line to `each`, which may be NULL; how many there are, −1: out of memory. */
static int read_values(span line, sumi_parameter_fn *each, void *context)
{
	int found = 0;
	for (size_t n; line.n; line.at += n, line.n -= n) {
		span name, value;
		if (!value_at(line, &n, &name, &value)) continue;
		found++;
		if (!each) continue;
		char *key = copy_of(name), *text = unquoted(value);
		if (key && text) each(context, key, text);
		bool fine = key && text;
		free(key);
		free(text);
		if (!fine) return -1;
	}
	return found;
}

static span next_line(span *rest)
{
	const char *end = rest->n ? memchr(rest->at, '\n', rest->n) : NULL;
	span line = { rest->at, end ? (size_t)(end - rest->at) : rest->n };
	rest->at += line.n + (end != NULL);
	rest->n -= line.n + (end != NULL);
	return line;
}

static void add_line(buffer *to, span line)
{
	if (to->size) buffer_add(to, "\n", 1);
	buffer_add(to, line.at, line.n);
}

static bool read_text(const char *text, sumi_parameter_fn *each, void *context, error *e)
{
	span all = strip((span){ text, strlen(text) }), last = all;
	for (span rest = all; rest.n;) last = next_line(&rest);
	bool listed = read_values(last, NULL, NULL) >= 3, negative = false;
	if (!listed) return fail(e, BAD_FILE, "the text in the picture does not say how it was made");
	buffer prompts[2] = { 0 };
	for (span rest = { all.at, all.n - last.n }; rest.n;) {
		span line = strip(next_line(&rest));
		if (line.n >= 16 && !memcmp(line.at, "Negative prompt:", 16)) {
			negative = true;
			line = strip((span){ line.at + 16, line.n - 16 });
		}
		add_line(&prompts[negative], line);
	}
	bool fine = !prompts[0].failed && !prompts[1].failed;
	if (fine) each(context, "Prompt", prompts[0].data ? prompts[0].data : "");
	if (fine && prompts[1].size) each(context, "Negative prompt", prompts[1].data);
	fine = fine && read_values(last, each, context) >= 0;
	free(prompts[0].data);
	free(prompts[1].data);
	return fine || fail(e, NO_MEMORY, "out of memory for a picture's text");
}

/* ── ComfyUI ── */

/* {"3": {"class_type": "KSampler", "inputs": {"seed": 1, "model": ["4", 0], …}}, …} */
typedef struct workflow {
	json_t *nodes;
	sumi_parameter_fn *each;
	void *context;
} workflow;

static const json_t *inputs_of(const json_t *node) { return json_object_get(node, "inputs"); }
static const char *class_of(const json_t *node)
{
	const char *name = json_string_value(json_object_get(node, "class_type"));
	return name ? name : "";
}

/* The node that an input comes from; NULL: the input is a value, or is not there. */
static const json_t *source_of(const workflow *f, const json_t *node, const char *input)
{
	const json_t *link = json_object_get(inputs_of(node), input);
	const char *id = json_string_value(json_array_get(link, 0));
	return id ? json_object_get(f->nodes, id) : NULL;
}

enum { MOST_NODES_OF_A_CHAIN = 64 };

/* The text that a chain of conditionings begins with; NULL: none is found. */
static const char *text_of(const workflow *f, const json_t *node)
{
	static const char *const on[] = { "conditioning", "positive", "conditioning_1", "text", "string", "value",
		"prompt" };
	for (int hops = 0; node && hops < MOST_NODES_OF_A_CHAIN; hops++) {
		const json_t *next = NULL;
		for (size_t i = 0; i < sizeof on / sizeof *on; i++) {
			const json_t *value = json_object_get(inputs_of(node), on[i]);
			if (json_is_string(value)) return json_string_value(value);
			if (!next) next = source_of(f, node, on[i]);
		}
		node = next;
	}
	return NULL;
}

static void give(const workflow *f, const char *name, const json_t *value)
{
	char text[64];
	if (json_is_string(value))
		f->each(f->context, name, json_string_value(value));
	else if (json_is_number(value)) {
		if (json_is_integer(value))
			snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
		else
			snprintf(text, sizeof text, "%.10g", json_real_value(value));
		f->each(f->context, name, text);
	}
}

/* LoRA files between the sampler and the checkpoint, as tags behind the prompt; the checkpoint's name. */
static void follow_model(const workflow *f, const json_t *node, buffer *prompt, const char **checkpoint)
{
	for (int hops = 0; node && hops < MOST_NODES_OF_A_CHAIN; hops++) {
		const json_t *in = inputs_of(node);
		const char *lora = json_string_value(json_object_get(in, "lora_name"));
		const char *name = json_string_value(json_object_get(in, "ckpt_name"));
		if (lora) {
			char tag[512];
			const char *slash = strrchr(lora, '/'), *base = slash ? slash + 1 : lora, *dot = strrchr(base, '.');
			snprintf(tag, sizeof tag, " <lora:%.*s:%.4g>", (int)(dot ? dot - base : (long)strlen(base)), base,
			    json_number_value(json_object_get(in, "strength_model")));
			buffer_add_text(prompt, tag);
		}
		if (name) *checkpoint = name;
		node = source_of(f, node, "model");
	}
}

/* Names that mean something else there than in A1111, whose meaning ours have. */
static const char *in_our_words(const char *name)
{
	static const char *const pairs[][2] = { { "lcm", "LCM ComfyUI" }, { "deis", "DEIS ComfyUI" },
		{ "beta", "Beta ComfyUI" }, { "kl_optimal", "KL Optimal ComfyUI" }, { "uni_pc_bh2", "UniPC bh2" },
		{ "uni_pc", "UniPC" }, { "ddim_uniform", "DDIM" } };
	for (size_t i = 0; name && i < sizeof pairs / sizeof *pairs; i++)
		if (!strcmp(name, pairs[i][0])) return pairs[i][1];
	return name;
}

static const json_t *only_sampler(const workflow *f, int *count)
{
	const char *id;
	json_t *node;
	const json_t *found = NULL;
	*count = 0;
	json_object_foreach(f->nodes, id, node)
	{
		if (strncmp(class_of(node), "KSampler", 8) && strncmp(class_of(node), "SamplerCustom", 13)) continue;
		found = node;
		++*count;
	}
	return found;
}

static bool give_workflow(const workflow *f, const json_t *sampler, error *e)
{
	const json_t *in = inputs_of(sampler), *latent = source_of(f, sampler, "latent_image");
	const char *positive = text_of(f, source_of(f, sampler, "positive"));
	const char *negative = text_of(f, source_of(f, sampler, "negative")), *checkpoint = NULL;
	const char *name = in_our_words(json_string_value(json_object_get(in, "sampler_name")));
	const char *schedule = in_our_words(json_string_value(json_object_get(in, "scheduler")));
	long long width = json_integer_value(json_object_get(inputs_of(latent), "width"));
	long long height = json_integer_value(json_object_get(inputs_of(latent), "height"));
	const json_t *seed = json_object_get(in, "seed"), *denoise = json_object_get(in, "denoise");
	char size[64];
	buffer prompt = { 0 };
	if (!positive || !name)
		return fail(e, BAD_FILE, "ComfyUI's graph in the picture: no text or no sampler's name in it");
	buffer_add_text(&prompt, positive);
	follow_model(f, source_of(f, sampler, "model"), &prompt, &checkpoint);
	if (!prompt.failed) f->each(f->context, "Prompt", prompt.data ? prompt.data : "");
	bool fine = !prompt.failed;
	free(prompt.data);
	if (!fine) return fail(e, NO_MEMORY, "out of memory for a picture's text");
	if (negative && *negative) f->each(f->context, "Negative prompt", negative);
	give(f, "Steps", json_object_get(in, "steps"));
	f->each(f->context, "Sampler", name);
	if (schedule) f->each(f->context, "Schedule type", schedule);
	give(f, "CFG scale", json_object_get(in, "cfg"));
	give(f, "Seed", seed ? seed : json_object_get(in, "noise_seed"));
	snprintf(size, sizeof size, "%lldx%lld", width, height);
	if (width > 0 && height > 0) f->each(f->context, "Size", size);
	if (checkpoint) f->each(f->context, "Model", checkpoint);
	if (json_number_value(denoise) > 0 && json_number_value(denoise) < 1) give(f, "Denoising strength", denoise);
	f->each(f->context, "RNG", "CPU");
	return true;
}

static bool read_workflow(const char *text, sumi_parameter_fn *each, void *context, error *e)
{
	json_error_t why;
	workflow f = { json_from_python(text, strlen(text), &why), each, context };
	int count = 0;
	const json_t *sampler = json_is_object(f.nodes) ? only_sampler(&f, &count) : NULL;
	bool fine;
	if (!f.nodes)
		fine = fail(e, BAD_FILE, "the text in the picture is not JSON: %s", why.text);
	else if (count != 1)
		fine = fail(e, BAD_FILE, "ComfyUI's graph in the picture has %d samplers: only one can be read", count);
	else if (strcmp(class_of(sampler), "KSampler") && strcmp(class_of(sampler), "KSamplerAdvanced"))
		fine = fail(
		    e, BAD_FILE, "ComfyUI's graph in the picture: its sampler is a %.60s, not a KSampler", class_of(sampler));
	else
		fine = give_workflow(&f, sampler, e);
	json_decref(f.nodes);
	return fine;
}

bool parameters_read(const char *text, sumi_parameter_fn *each, void *context, error *e)
{
	const char *first = text;
	while (is_space(*first)) first++;
	return *first == '{' ? read_workflow(first, each, context, e) : read_text(text, each, context, e);
}
