/* goldens.h - what a topic of the golden program gets: the folder, and a report that prints a line for each
 * comparison. A topic is one file here with one function, listed in main.c. */
#ifndef SUMI_TESTS_GOLDENS_H
#define SUMI_TESTS_GOLDENS_H
#include <stddef.h>
#include <stdbool.h>

typedef struct report {
	int compared, over, uncovered;
} report;

/* Prints "ok|OVER  name  error (tolerance)"; an error that is not finite is over. */
void report_error(report *r, const char *name, double error, double tolerance);
/* Prints "not covered  name: why": a file or a case that Sumi cannot do yet. */
void report_uncovered(report *r, const char *name, const char *why);
/* The larger of two errors; infinite where `off` is NaN, so that no later one hides it. */
double worse(double worst, double off);
/* ‖a−b‖/‖b‖ over n values, in double; b is the golden. */
double relative_l2(const float *a, const float *b, size_t n);
/* max |a−b| / max |b| */
double relative_max(const float *a, const float *b, size_t n);
/* Joins a path into a static buffer of 8 that rotate; exists() asks for it. */
const char *path_of(const char *dir, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool exists(const char *path);
struct backend;
const struct backend *golden_backend(void); /* that networks are to run on */
bool golden_streams(void);                  /* with half of their weights in its memory */

/* The topics, one for each file of this folder. `dir` has the structure of tests/golden; where a folder is
 * absent the topic says nothing. */
void golden_rng(const char *dir, report *r);              /* rng/ */
void golden_schedules(const char *dir, report *r);        /* schedules/ */
void golden_samplers(const char *dir, report *r);         /* samplers/ */
void golden_guidance(const char *dir, report *r);         /* guidance/, but for what changes the U-Net */
void golden_unet_changes(const char *dir, report *r);     /* guidance/unet.* */
void golden_tokenizers(const char *dir, report *r);       /* tokenizers/ */
void golden_sd3_words(const char *dir, report *r);        /* tokenizers/sd3_weighted.json */
void golden_text(const char *dir, report *r);             /* text/ */
void golden_t5(const char *dir, report *r);               /* text/, T5's */
void golden_mmdit(const char *dir, report *r);            /* sd3/, but for its autoencoder */
void golden_unet(const char *dir, report *r);             /* unet/ and sd1/unet.* */
void golden_timesteps(const char *dir, report *r);        /* unet/timestep_embedding.safetensors */
void golden_controlnet(const char *dir, report *r);       /* controlnet/ */
void golden_adapters(const char *dir, report *r);         /* adapters/, on sd1 and on unet/distilled */
void golden_canny(const char *dir, report *r);            /* resample/, edges */
void golden_resample(const char *dir, report *r);         /* resample/, resizing and blurs */
void golden_upscale(const char *dir, report *r);          /* upscale/ */
void golden_vae(const char *dir, report *r);              /* sd1/vae.*, taesd/ */
void golden_lora(const char *dir, report *r);             /* lora/ */
void golden_lycoris(const char *dir, report *r);          /* lycoris/, on sd1 */
void golden_lycoris_families(const char *dir, report *r); /* lycoris/, on e2e/sdxl and e2e/sd3 */
void golden_pipeline(const char *dir, report *r);  /* pipeline/, and sd1/diffusers against sd1/model.safetensors */
void golden_e2e(const char *dir, report *r);       /* e2e/ */
void golden_train(const char *dir, report *r);     /* train/ */
void golden_manifests(const char *dir, report *r); /* manifests/ */

#endif
