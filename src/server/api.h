/* api.h - the handlers of all routes, by the API that they belong to. */
#ifndef SUMI_SERVER_API_H
#define SUMI_SERVER_API_H
#include "server/http.h"

handler openai_generations, openai_edits, openai_models, kept_picture;
handler a1111_txt2img, a1111_img2img, a1111_progress, a1111_interrupt, a1111_skip, a1111_samplers, a1111_schedulers,
    a1111_models, a1111_vaes, a1111_upscalers, a1111_latent_upscalers, a1111_options, a1111_set_options, a1111_png_info,
    a1111_memory, a1111_flags, a1111_refresh, a1111_unload, a1111_reload, a1111_scripts, a1111_loras, a1111_embeddings,
    a1111_nothing, a1111_extra_single, a1111_extra_batch;
handler controlnet_version, controlnet_settings, controlnet_models, controlnet_modules, controlnet_types,
    controlnet_detect;
handler page_about, page_prompt, page_draw, page_gallery, page_gallery_picture, page_gallery_delete, page_training,
    page_training_start, page_training_stop, page_training_run;
handler health, metrics, page;

#endif
