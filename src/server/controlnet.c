/* controlnet.c - the API of A1111's ControlNet extension: units of a request as sumi's controls, and what it lists.
 * Preprocessors are "none" and "canny", and those of IP-Adapters where there is a vision tower for them. */
#include "server/a1111.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOW = 100, HIGH = 200, DETECT_AT = 512 };

/* ── units ── */

enum { MOST_SCALED = 1 << 26 }; /* pixels of a picture before it is cut */

typedef enum fit { STRETCH, CROP, PAD } fit;
static const char *const fits[] = { "Just Resize", "Crop and Resize", "Resize and Fill", NULL };
static const char *const inner_names[][2] = { { "Inner Fit (Scale to Fit)", "Crop and Resize" },
	{ "Scale to Fit (Inner Fit)", "Crop and Resize" }, { "Outer Fit (Shrink to Fit)", "Resize and Fill" },
	{ "Envelope (Outer Fit)", "Resize and Fill" } };

static int clamp(int i, int end) { return i < 0 ? 0 : i >= end ? end - 1 : i; }

/* The picture at width × height: scaled until it covers that or fits into it, then cut off or continued by its edges.
 */
static sumi_image *fitted(const sumi_image *p, fit how, int width, int height, sumi_error *e)
{
	double x = (double)width / p->width, y = (double)height / p->height, k = (how == CROP) == (x > y) ? x : y;
	int w = how == STRETCH ? width : (int)fmax(1, rint(k * p->width)),
	    h = how == STRETCH ? height : (int)fmax(1, rint(k * p->height));
	if ((double)w * h > MOST_SCALED) {
		*e = (sumi_error){ .status = SUMI_BAD_USAGE };
		snprintf(e->text, sizeof e->text, "a unit's image of %d x %d is too long for %d x %d", p->width, p->height,
		    width, height);
		return NULL;
	}
	sumi_image *scaled = sumi_image_resize(p, w, h, e), *out = scaled ? sumi_image_new(width, height, NULL, e) : NULL;
	int left = (w - width) / 2, top = (h - height) / 2;
	for (int row = 0; out && row < height; row++)
		for (int column = 0; column < width; column++) {
			size_t from = (size_t)clamp(row + top, h) * (size_t)w + (size_t)clamp(column + left, w);
			memcpy(out->pixels + 3 * ((size_t)row * (size_t)width + (size_t)column), scaled->pixels + 3 * from, 3);
		}
	sumi_image_free(scaled);
	return out;
}

static void read_fit(const json_t *unit, fit *how, problem *p)
{
	const char *text = json_string_value(json_object_get(unit, "resize_mode"));
	int64_t value = CROP;
	for (size_t i = 0; text && i < sizeof inner_names / sizeof *inner_names; i++)
		if (!strcasecmp(inner_names[i][0], text)) {
			*how = !strcmp(inner_names[i][1], fits[CROP]) ? CROP : PAD;
			return;
		}
	a1111_choice(unit, "resize_mode", fits, &value, p);
	*how = (fit)value;
}

/* "image" (once "input_image"): base64, {"image": …, "mask": …}, a list with one of these, or [image, mask]. */
static sumi_image *read_image(const json_t *unit, problem *p)
{
	sumi_image *image = NULL;
	const char *name = a1111_is_off(json_object_get(unit, "image")) ? "input_image" : "image";
	json_t *v = json_object_get(unit, name);
	const json_t *mask = json_object_get(unit, "mask");
	if (json_array_size(v) == 2 && !json_is_object(json_array_get(v, 0)))
		mask = json_array_get(v, 1);
	else if (json_array_size(v) > 1)
		problem_set(p, 422, "image", "a unit of controlnet has %zu images, expected 1", json_array_size(v));
	if (json_array_size(v)) v = json_array_get(v, 0);
	if (json_is_object(v)) mask = json_object_get(v, "mask");
	if (!a1111_is_off(mask)) problem_set(p, 422, "mask", "a unit's mask is not done by this server");
	json_t *one = json_pack("{s:O}", "image", json_is_object(v) ? json_object_get(v, "image") : v);
	if (one && !a1111_is_off(v)) field_picture(one, "image", &image, p);
	json_decref(one);
	return image;
}

static void refuse_what_is_not_done(const json_t *unit, problem *p)
{
	static const char *const fields[] = { "advanced_weighting", "effective_region_mask", "ipadapter_input", "guessmode",
		"batch_images", "mask_image", NULL };
	const char *hires = "Both";
	for (int i = 0; fields[i]; i++)
		if (!a1111_is_off(json_object_get(unit, fields[i])))
			problem_set(p, 422, fields[i], "%s of a unit is not done by this server", fields[i]);
	field_text(unit, "hr_option", &hires, p);
	if (strcmp(hires, "Both")) problem_set(p, 422, "hr_option", "hr_option is '%.40s', expected Both", hires);
}

/* How much a unit counts, and in which steps; "guidance" is what "guidance_end" was called before. */
static void read_share(const json_t *unit, double *strength, double *from, double *to, problem *p)
{
	field_number(unit, "weight", 0, 2, strength, p);
	field_number(unit, "guidance_start", 0, 1, from, p);
	field_number(unit, "guidance", 0, 1, to, p);
	field_number(unit, "guidance_end", 0, 1, to, p);
	if (*from > *to) problem_set(p, 422, "guidance_start", "guidance_start is %g, after guidance_end, %g", *from, *to);
}

static void read_network(server *s, const json_t *unit, const char **to, problem *p)
{
	const char *model = "None";
	char path[4096], name[512];
	field_text(unit, "model", &model, p);
	snprintf(name, sizeof name, "%s", model);
	char *hash = strstr(name, " [");
	if (hash) *hash = 0;
	if (p->status) return;
	if (!name_find(server_folder(s, CONTROLS), CONTROLS, name, path))
		problem_set(p, 422, "model", "no control network '%.200s'; GET /controlnet/model_list lists them", model);
	else if (!job_text(to, path))
		problem_set(p, 503, "", "out of memory");
}

/* Thresholds out of their range are as if not given, as the extension has it. */
static void read_thresholds(const json_t *o, const char *low, const char *high, int *a, int *b, problem *p)
{
	double x = -1, y = -1;
	field_number(o, low, -1e6, 1e6, &x, p);
	field_number(o, high, -1e6, 1e6, &y, p);
	*a = x >= 1 && x <= 255 ? (int)x : LOW;
	*b = y >= 1 && y <= 255 ? (int)y : HIGH;
	if (*a > *b) { /* as OpenCV's Canny() takes them */
		int t = *a;
		*a = *b;
		*b = t;
	}
}

static bool is_canny(const json_t *o, const char *field, problem *p)
{
	const char *module = "none";
	field_text(o, field, &module, p);
	bool canny = !strcasecmp(module, "canny");
	if (!canny && *module && strcasecmp(module, "none"))
		problem_set(p, 422, field,
		    "the preprocessor '%.60s' is not done by this server; GET /controlnet/module_list lists them", module);
	return canny;
}

/* ── IP-Adapters ── */

/* The extension's modules, by name and by label, and the vision tower that each is for: ViT-bigG is the wider. */
typedef enum tower { BY_MODEL, NARROW, WIDE } tower;
static const struct {
	const char *name, *label;
	tower tower;
} prompt_modules[] = { { "ip-adapter-auto", "ip-adapter-auto", BY_MODEL },
	{ "ip-adapter_clip_sd15", "ip-adapter_clip_h", NARROW }, { "ip-adapter_clip_sdxl", "ip-adapter_clip_g", WIDE },
	{ "ip-adapter_clip_sdxl_plus_vith", "ip-adapter_clip_sdxl_plus_vith", NARROW } };
enum { PROMPT_MODULES = sizeof prompt_modules / sizeof *prompt_modules };

/* The unit's among them; -1: it has another. */
static int prompt_module(const json_t *unit)
{
	const char *module = json_string_value(json_object_get(unit, "module"));
	for (int i = 0; module && i < PROMPT_MODULES; i++)
		if (!strcasecmp(module, prompt_modules[i].name) || !strcasecmp(module, prompt_modules[i].label)) return i;
	return -1;
}

/* As the published files are named: ip-adapter_sdxl, ip-adapter_sd15_vit-G; ip-adapter-plus_sdxl_vit-h. */
static bool wants_wide(tower t, const char *model)
{
	if (t != BY_MODEL) return t == WIDE;
	return strcasestr(model, "vit-g") || (strcasestr(model, "xl") && !strcasestr(model, "vit-h"));
}

static void read_prompt_unit(server *s, const json_t *unit, tower t, job *j, problem *p)
{
	const char *model = "None";
	sumi_ip_adapter *a = job_add_ip_adapter(j);
	if (!a) {
		problem_set(p, 422, "alwayson_scripts", "more than %d units with IP-Adapters", MOST_IP_ADAPTERS);
		return;
	}
	refuse_what_is_not_done(unit, p);
	read_share(unit, &a->strength, &a->from, &a->to, p);
	read_network(s, unit, &a->path, p);
	field_text(unit, "model", &model, p);
	a->vision = server_tower(s, wants_wide(t, model));
	if (!a->vision)
		problem_set(p, 422, "module", "this server has no vision tower for IP-Adapters; sumi serve --clip-vision FILE");
	sumi_image *given = read_image(unit, p);
	sumi_error e = { 0 };
	if (!given && j->options.init && !p->status) {
		given = sumi_image_resize(j->options.init, j->options.init->width, j->options.init->height, &e);
		problem_of(s, p, &e);
	}
	if (!given) problem_set(p, 422, "image", "a unit of controlnet has no image");
	a->image = given;
}

/* ── control networks ── */

static void read_unit(server *s, const json_t *unit, job *j, problem *p)
{
	static const char *const modes[] = { "Balanced", "My prompt is more important", "ControlNet is more important",
		NULL };
	static const char *const ours[] = { "balanced", "prompt", "control" };
	bool enabled = true, shown = true;
	fit how = CROP;
	int64_t mode = 0;
	if (!json_is_object(unit)) problem_set(p, 422, "alwayson_scripts", "a unit of controlnet is not an object");
	field_flag(unit, "enabled", &enabled, p);
	if (!enabled || p->status) return;
	if (prompt_module(unit) >= 0) {
		read_prompt_unit(s, unit, prompt_modules[prompt_module(unit)].tower, j, p);
		return;
	}
	sumi_control *c = job_add_control(j);
	if (!c) {
		problem_set(p, 422, "alwayson_scripts", "more than %d units of controlnet", MOST_CONTROLS);
		return;
	}
	refuse_what_is_not_done(unit, p);
	read_share(unit, &c->strength, &c->from, &c->to, p);
	a1111_choice(unit, "control_mode", modes, &mode, p);
	c->mode = ours[mode];
	if (is_canny(unit, "module", p))
		read_thresholds(unit, "threshold_a", "threshold_b", &c->canny_low, &c->canny_high, p);
	read_fit(unit, &how, p);
	read_network(s, unit, &c->path, p);
	field_flag(unit, "save_detected_map", &shown, p);
	j->control_is_shown[j->options.control_count - 1] = shown;
	sumi_image *given = read_image(unit, p);
	const sumi_image *image = given ? given : j->options.init;
	sumi_error e = { 0 };
	if (!image) problem_set(p, 422, "image", "a unit of controlnet has no image");
	int width = j->options.width, height = j->options.height;
	if ((int64_t)width * height > queue_most_pixels(server_queue(s))) refuse_size(s, p, "width");
	if (!p->status)
		c->image = width && height ? fitted(image, how, width, height, &e)
		                           : sumi_image_resize(image, image->width, image->height, &e);
	if (!p->status && !c->image) problem_of(s, p, &e);
	sumi_image_free(given);
}

void a1111_read_scripts(server *s, const json_t *o, job *j, problem *p)
{
	json_t *scripts = json_object_get(o, "alwayson_scripts"), *script, *unit;
	const char *name;
	size_t i;
	if (p->status || a1111_is_off(scripts)) return;
	if (!json_is_object(scripts)) problem_set(p, 422, "alwayson_scripts", "alwayson_scripts is not an object");
	json_object_foreach(scripts, name, script)
	{
		const json_t *args = json_object_get(script, "args");
		if (strcasecmp(name, "controlnet"))
			problem_set(p, 422, "alwayson_scripts", "the script %.100s is not done by this server", name);
		else if (!json_is_object(script) || !(a1111_is_off(args) || json_is_array(args)))
			problem_set(p, 422, "alwayson_scripts", "controlnet is not an object with a list of units, args");
		else
			json_array_foreach(args, i, unit) read_unit(s, unit, j, p);
	}
}

/* What a control read, as the extension answers it; NULL: no memory. */
static json_t *map_of(const job *j, const sumi_control *c)
{
	const sumi_image *first = j->pictures[0];
	bool known = j->options.width > 0 && j->options.height > 0; /* it was fitted as it was read */
	sumi_image *sized = sumi_image_resize(
	    c->image, known ? c->image->width : first->width, known ? c->image->height : first->height, NULL);
	sumi_image *edges = sized && c->canny_high ? sumi_image_edges(sized, c->canny_low, c->canny_high, NULL) : NULL;
	json_t *text = edges || (sized && !c->canny_high) ? picture_json(edges ? edges : sized, "png", 0) : NULL;
	sumi_image_free(sized);
	sumi_image_free(edges);
	return text;
}

bool a1111_add_maps(const job *j, json_t *images)
{
	bool fine = true;
	for (int i = 0; fine && i < j->options.control_count && !j->hides_maps; i++)
		if (j->control_is_shown[i]) fine = !json_array_append_new(images, map_of(j, &j->control[i]));
	return fine;
}

/* ── lists ── */

static json_t *models(server *s)
{
	name_list l = names_in(server_folder(s, CONTROLS), CONTROLS);
	json_t *list = json_pack("[s]", "None");
	for (int i = 0; i < l.count; i++) json_array_append_new(list, json_string(l.name[i]));
	names_free(&l);
	return list;
}

static json_t *slider(const char *name, int value, int low, int high, int step)
{
	return json_pack("{s:s, s:i, s:i, s:i, s:i}", "name", name, "value", value, "min", low, "max", high, "step", step);
}

void controlnet_version(server *s, request *r, reply *y)
{
	(void)s;
	(void)r;
	reply_json(y, 200, json_pack("{s:i}", "version", 3));
}

void controlnet_settings(server *s, request *r, reply *y)
{
	(void)s;
	(void)r;
	reply_json(y, 200, json_pack("{s:i}", "control_net_unit_count", MOST_CONTROLS));
}

void controlnet_models(server *s, request *r, reply *y)
{
	(void)r;
	reply_json(y, 200, json_pack("{s:o}", "model_list", models(s)));
}

/* The names or labels of IP-Adapters' modules to a list, where this server has a vision tower for them. */
static void add_prompt_modules(server *s, json_t *list, bool labels)
{
	for (int i = 0; i < PROMPT_MODULES && server_tower(s, true); i++)
		json_array_append_new(list, json_string(labels ? prompt_modules[i].label : prompt_modules[i].name));
}

void controlnet_modules(server *s, request *r, reply *y)
{
	const char *alias = MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "alias_names"), *name;
	json_t *list = json_pack("[s, s]", "none", "canny"), *details = json_object(), *one;
	size_t i;
	add_prompt_modules(s, list, alias && !strcasecmp(alias, "true"));
	json_array_foreach(list, i, one)
	{
		name = json_string_value(one);
		json_object_set_new(details, name,
		    strcmp(name, "canny")
		        ? json_pack("{s:b, s:[]}", "model_free", 0, "sliders")
		        : json_pack("{s:b, s:[o, o, o]}", "model_free", 0, "sliders",
		              slider("Resolution", DETECT_AT, 64, 2048, 8), slider("Low Threshold", LOW, 1, 255, 1),
		              slider("High Threshold", HIGH, 1, 255, 1)));
	}
	reply_json(y, 200, json_pack("{s:o, s:o}", "module_list", list, "module_detail", details));
}

/* A type's models are those whose name holds its name; of T2I-Adapters, "t2i". */
static json_t *type_of(server *s, const char *type, const json_t *all, const char *module)
{
	const char *sought = strcmp(type, "T2I-Adapter") ? type : "t2i";
	bool every = !strcmp(type, "All"), prompts = !strcmp(type, "IP-Adapter");
	json_t *some = json_pack("[s]", "None"), *name;
	const char *first = "None";
	size_t i;
	json_array_foreach(all, i, name)
	{
		const char *text = json_string_value(name);
		if (!i || (!every && !strcasestr(text, sought))) continue;
		if (!strcmp(first, "None") && !every) first = text;
		json_array_append(some, name);
	}
	json_t *entry = json_pack("{s:[s], s:O, s:s, s:s}", "module_list", "none", "model_list", some, "default_option",
	    module, "default_model", first);
	json_t *modules = json_object_get(entry, "module_list");
	if (every || !strcmp(type, "Canny")) json_array_append_new(modules, json_string("canny"));
	if (every || prompts) add_prompt_modules(s, modules, false);
	json_decref(some);
	return entry;
}

void controlnet_types(server *s, request *r, reply *y)
{
	const char *const types[][2] = { { "All", "none" }, { "Canny", "canny" }, { "Depth", "none" },
		{ "IP-Adapter", server_tower(s, true) ? "ip-adapter-auto" : "none" }, { "Inpaint", "none" },
		{ "Lineart", "none" }, { "MLSD", "none" }, { "NormalMap", "none" }, { "OpenPose", "none" },
		{ "Scribble", "none" }, { "Segmentation", "none" }, { "SoftEdge", "none" }, { "T2I-Adapter", "none" },
		{ "Tile", "none" } };
	json_t *all = models(s), *list = json_object();
	(void)r;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		json_object_set_new(list, types[i][0], type_of(s, types[i][0], all, types[i][1]));
	json_decref(all);
	reply_json(y, 200, json_pack("{s:o}", "control_types", list));
}

/* ── a preprocessor alone ── */

/* At `side` pixels to the shorter side. */
static json_t *edges_of(server *s, const sumi_image *p, int side, int low, int high, problem *why)
{
	sumi_error e = { 0 };
	double k = (double)side / (p->width < p->height ? p->width : p->height);
	sumi_image *scaled = sumi_image_resize(p, (int)rint(k * p->width), (int)rint(k * p->height), &e);
	sumi_image *edges = sumi_image_edges(scaled, low, high, &e);
	json_t *text = edges ? picture_json(edges, "png", 0) : NULL;
	problem_of(s, why, &e);
	if (!text) problem_set(why, 503, "", "out of memory");
	sumi_image_free(scaled);
	sumi_image_free(edges);
	return text;
}

/* Short and wide pictures grow to no more than this. */
static bool too_wide(const sumi_image *p, int side)
{
	enum { LONGEST = 16384 };
	int shorter = p->width < p->height ? p->width : p->height, longer = p->width + p->height - shorter;
	return (double)longer * side / shorter > LONGEST;
}

void controlnet_detect(server *s, request *r, reply *y)
{
	problem p = { 0 };
	int64_t side = -1;
	int low = LOW, high = HIGH;
	json_t *list = json_object_get(r->json, "controlnet_input_images"), *one, *images = json_array();
	size_t i;
	if (!list) list = json_object_get(r->json, "controlnet_images"); /* as webuiapi has it */
	bool canny = is_canny(r->json, "controlnet_module", &p);
	read_thresholds(r->json, "controlnet_threshold_a", "controlnet_threshold_b", &low, &high, &p);
	field_integer(r->json, "controlnet_processor_res", -1, 1 << 20, &side, &p);
	if (side < 64 || side > 2048) side = DETECT_AT; /* as if it were not given */
	if (!json_array_size(list)) problem_set(&p, 422, "controlnet_input_images", "No image selected");
	if (!a1111_is_off(json_object_get(r->json, "controlnet_masks")))
		problem_set(&p, 422, "controlnet_masks", "controlnet_masks are not done by this server");
	json_array_foreach(list, i, one)
	{
		sumi_image *picture = NULL;
		json_t *field = json_pack("{s:O}", "controlnet_input_images", one);
		field_picture(field, "controlnet_input_images", &picture, &p);
		json_decref(field);
		if (!p.status && !picture) problem_set(&p, 422, "controlnet_input_images", "an image is null");
		if (!p.status && canny && too_wide(picture, (int)side))
			problem_set(&p, 422, "controlnet_input_images", "an image is too long for its width");
		if (!p.status)
			json_array_append_new(
			    images, canny ? edges_of(s, picture, (int)side, low, high, &p) : picture_json(picture, "png", 0));
		sumi_image_free(picture);
	}
	if (p.status)
		a1111_refuse(y, &p);
	else
		reply_json(y, 200, json_pack("{s:s, s:O}", "info", "Success", "images", images));
	json_decref(images);
}
