/* routes.c - which handler answers what. A new address is a line here and its handler in api.h; the files of web/ need
 * neither. */
#include "server/api.h"
#include "server/page.h"
#include <string.h>

static const route routes[] = {
	{ "GET", "/health", health, OPEN },
	{ "GET", "/metrics", metrics, KEYED },
	{ "GET", "/pictures/", kept_picture, KEYED },
	{ "GET", "/v1/models", openai_models, KEYED },
	{ "POST", "/v1/images/generations", openai_generations, KEYED },
	{ "POST", "/v1/images/edits", openai_edits, KEYED },
	{ "POST", "/sdapi/v1/txt2img", a1111_txt2img, KEYED },
	{ "POST", "/sdapi/v1/img2img", a1111_img2img, KEYED },
	{ "GET", "/sdapi/v1/progress", a1111_progress, KEYED },
	{ "POST", "/sdapi/v1/interrupt", a1111_interrupt, KEYED },
	{ "POST", "/sdapi/v1/skip", a1111_skip, KEYED },
	{ "GET", "/sdapi/v1/samplers", a1111_samplers, KEYED },
	{ "GET", "/sdapi/v1/schedulers", a1111_schedulers, KEYED },
	{ "GET", "/sdapi/v1/sd-models", a1111_models, KEYED },
	{ "POST", "/sdapi/v1/refresh-checkpoints", a1111_refresh, KEYED },
	{ "POST", "/sdapi/v1/refresh-vae", a1111_refresh, KEYED },
	{ "POST", "/sdapi/v1/refresh-loras", a1111_refresh, KEYED },
	{ "POST", "/sdapi/v1/refresh-embeddings", a1111_refresh, KEYED },
	{ "POST", "/sdapi/v1/unload-checkpoint", a1111_unload, KEYED },
	{ "POST", "/sdapi/v1/reload-checkpoint", a1111_reload, KEYED },
	{ "POST", "/sdapi/v1/extra-single-image", a1111_extra_single, KEYED },
	{ "POST", "/sdapi/v1/extra-batch-images", a1111_extra_batch, KEYED },
	{ "GET", "/sdapi/v1/loras", a1111_loras, KEYED },
	{ "GET", "/sdapi/v1/embeddings", a1111_embeddings, KEYED },
	{ "GET", "/sdapi/v1/scripts", a1111_scripts, KEYED },
	{ "GET", "/sdapi/v1/script-info", a1111_nothing, KEYED },
	{ "GET", "/sdapi/v1/extensions", a1111_nothing, KEYED },
	{ "GET", "/sdapi/v1/hypernetworks", a1111_nothing, KEYED },
	{ "GET", "/sdapi/v1/face-restorers", a1111_nothing, KEYED },
	{ "GET", "/sdapi/v1/realesrgan-models", a1111_nothing, KEYED },
	{ "GET", "/sdapi/v1/prompt-styles", a1111_nothing, KEYED },
	{ "GET", "/sdapi/v1/sd-vae", a1111_vaes, KEYED },
	{ "GET", "/sdapi/v1/upscalers", a1111_upscalers, KEYED },
	{ "GET", "/sdapi/v1/latent-upscale-modes", a1111_latent_upscalers, KEYED },
	{ "GET", "/sdapi/v1/options", a1111_options, KEYED },
	{ "POST", "/sdapi/v1/options", a1111_set_options, KEYED },
	{ "POST", "/sdapi/v1/png-info", a1111_png_info, KEYED },
	{ "GET", "/sdapi/v1/memory", a1111_memory, KEYED },
	{ "GET", "/sdapi/v1/cmd-flags", a1111_flags, KEYED },
	{ "GET", "/sumi/about", page_about, KEYED },
	{ "POST", "/sumi/prompt", page_prompt, KEYED },
	{ "POST", "/sumi/draw", page_draw, KEYED },
	{ "GET", "/sumi/gallery", page_gallery, KEYED },
	{ "GET", "/sumi/gallery/", page_gallery_picture, KEYED },
	{ "DELETE", "/sumi/gallery/", page_gallery_delete, KEYED },
	{ "GET", "/sumi/training", page_training, KEYED },
	{ "POST", "/sumi/training", page_training_start, KEYED },
	{ "POST", "/sumi/training/stop", page_training_stop, KEYED },
	{ "GET", "/sumi/training/", page_training_run, KEYED },
	{ "GET", "/controlnet/version", controlnet_version, KEYED },
	{ "GET", "/controlnet/settings", controlnet_settings, KEYED },
	{ "GET", "/controlnet/model_list", controlnet_models, KEYED },
	{ "GET", "/controlnet/module_list", controlnet_modules, KEYED },
	{ "GET", "/controlnet/control_types", controlnet_types, KEYED },
	{ "POST", "/controlnet/detect", controlnet_detect, KEYED },
	{ NULL, NULL, NULL, KEYED },
};
static const route of_the_page = { "GET", NULL, page, OPEN };

static bool takes(const route *t, const char *method)
{
	return !strcmp(t->method, method) || (!strcmp(t->method, "GET") && !strcmp(method, "HEAD"));
}

static bool is_at(const route *t, const char *path)
{
	size_t n = strlen(t->path);
	return t->path[n - 1] == '/' ? !strncmp(path, t->path, n) : !strcmp(path, t->path);
}

const route *route_find(const char *method, const char *path)
{
	for (const route *t = routes; t->path; t++)
		if (is_at(t, path) && takes(t, method)) return t;
	return page_find(path) && takes(&of_the_page, method) ? &of_the_page : NULL;
}

void route_methods(const char *path, char list[64])
{
	*list = 0;
	for (const route *t = routes; t->path; t++)
		if (is_at(t, path)) strcat(strcat(list, *list ? ", " : ""), t->method);
	if (!*list && page_find(path)) strcpy(list, of_the_page.method);
	if (strstr(list, "GET")) strcat(list, ", HEAD");
}
