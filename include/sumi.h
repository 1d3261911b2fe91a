/* sumi.h - text to image by latent diffusion. This is the whole of Sumi's public interface.
 *
 *     sumi_error e = { 0 };
 *     sumi_model *model = sumi_open("v1-5.safetensors", NULL, &e);
 *     sumi_options options = sumi_defaults();
 *     options.prompt = "a red fox in the snow";
 *     sumi_image *picture = sumi_generate(model, &options, &e);
 *     if (!sumi_image_write(picture, "fox.png", &e)) fprintf(stderr, "%s\n", e.text);
 *
 * Errors. Every function that can fail takes a sumi_error last. It is yours, begins as zeros, and keeps the first
 * failure: a function that receives an error that already holds one does nothing and fails too, so that a chain of
 * calls needs one check, at its end; such a call returns NULL, which every function accepts. The sumi_error itself may
 * be NULL if the reason does not matter. The library never exits, aborts or prints.
 *
 * Ownership. What a function returns is yours, and is freed with the function that its comment names; NULL may be
 * freed. What you pass in stays yours: strings and pictures are read during the call and not kept.
 *
 * Structs. Those that you fill begin with their size, so that a program and a library of different versions understand
 * each other: get one from its function (sumi_defaults(), …) and change the members you need. Members that a newer
 * program sets and an older library does not have are refused, not ignored. Structs that the library makes may grow at
 * their end.
 *
 * Threads. A model does not change once it is open: any number of sessions may draw from it, each in a thread of its
 * own. A session, and a training run, are used from one thread at a time. Listeners are called from the thread that
 * called the library. There is no global state but a pool of worker threads, which all calls share, and what is
 * computed once for the process (tables, the CPU's kernels).
 *
 * Names. Element types, samplers, schedules, families and picture formats are named by strings, in any case; the
 * functions sumi_…_name() list them. Text is UTF-8. Sizes are pixels. */
#ifndef SUMI_H
#define SUMI_H
#include <stdint.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SUMI_API __attribute__((visibility("default")))
#else
#define SUMI_API
#endif

/* "0.2.0": major.minor.patch of the library that runs; static. */
SUMI_API const char *sumi_version(void);
/* The GPUs and their libraries that were found, and what is missing, in lines that end with a newline. */
SUMI_API const char *sumi_devices(void);

/* ── errors ── */

typedef enum sumi_status { /* the program's exit codes are the same */
	SUMI_OK = 0,
	SUMI_BAD_USAGE = 2,     /* an argument: a size, a name, a number out of its range */
	SUMI_BAD_FILE = 3,      /* a model, a picture or any other file: not there, not readable, not what it should be */
	SUMI_NO_MEMORY = 4,     /* would not fit; found before the work starts wherever it can be known */
	SUMI_NOT_FINITE = 5,    /* a number that is NaN or infinite where none may be: a training run that diverges */
	SUMI_DEVICE_FAILED = 6, /* a GPU, its driver or one of its libraries failed at work */
	SUMI_STOPPED = 130      /* stopped by a listener or a sumi_cancel */
} sumi_status;

typedef struct sumi_error {
	sumi_status status;
	char text[1024]; /* one line that names the thing, what was found and what was expected */
} sumi_error;

/* ── while the library works: progress, notes, previews, and stopping it ── */

typedef struct sumi_image sumi_image;

typedef enum sumi_level {
	SUMI_WARNING, /* an input or option was not used, or not as requested: show it */
	SUMI_DETAIL   /* what was found, memory planned and measured, times */
} sumi_level;

/* A latent on its way: noisy ≈ signal · picture's latent + noise · what a normal distribution gives. Both lie as
 * [height][width][channels], as the autoencoder has them times the family's factor. */
typedef struct sumi_latent {
	size_t size;
	int width, height, channels;
	const float *noisy; /* what the sampler has now */
	const float *clean; /* what the denoiser took for the picture's latent in the last step; NULL before the first */
	double time;        /* that the denoiser reads: 1000 is noise alone, 0 the picture */
	double signal, noise;
} sumi_latent;

typedef struct sumi_listener { /* each function may be NULL */
	size_t size;
	void *context; /* passed to all of them */
	/* Called when a stage begins (step 0) and after each of its steps. Stages: "load", "encode", "denoise", "decode",
	 * and "write" for files; steps is 0 where it is not known. Return nonzero to stop: the call fails with
	 * SUMI_STOPPED. */
	int (*progress)(void *context, const char *stage, int step, int steps);
	/* A line without newline at its end. */
	void (*note)(void *context, sumi_level level, const char *line);
	/* After each denoising step but the last: a preview, decoded from the solver's current estimate of the clean
	 * latent. index: the picture's number in the batch, from 0. The picture is the library's, valid during the call.
	 * Its size depends on how it is made: see sumi_options.preview. */
	void (*preview)(void *context, int index, int step, const sumi_image *picture);
	/* Before the first step (step 0) and after each: where the picture of this index is. The numbers are the library's,
	 * valid during the call. */
	void (*latent)(void *context, int index, int step, const sumi_latent *latent);
} sumi_listener;

SUMI_API void sumi_listener_init(sumi_listener *listener, size_t size);
static inline sumi_listener sumi_listener_defaults(void)
{
	sumi_listener l;
	sumi_listener_init(&l, sizeof l);
	return l;
}

/* Stops calls from another thread, or from a signal handler: each call whose options name it fails with SUMI_STOPPED at
 * its next step. A request cannot be withdrawn: make a new one for later calls. Free it when no call uses it any more.
 * NULL: out of memory. */
typedef struct sumi_cancel sumi_cancel;
SUMI_API sumi_cancel *sumi_cancel_new(void);
SUMI_API void sumi_cancel_ask(sumi_cancel *cancel);
SUMI_API void sumi_cancel_free(sumi_cancel *cancel);

/* Takes bytes that the library writes. False: it could not, and the call fails. */
typedef bool sumi_write_fn(void *context, const void *bytes, size_t count);

/* ── models ── */

typedef struct sumi_model sumi_model;

typedef struct sumi_model_options {
	size_t size;
	const char *type;        /* compute type: "f32", "bf16"; NULL: bf16 on a GPU or a CPU that has it, else f32 */
	int threads;             /* 0: one for each CPU this process may use */
	uint64_t max_memory;     /* bytes that the process may take, mapped files apart; 0: what the system has to give */
	const char *vae;         /* file with another autoencoder; NULL: the model's own */
	const char *taesd;       /* file with a tiny autoencoder; NULL: none */
	bool taesd_for_previews; /* it makes previews alone; otherwise it decodes in place of the model's */
	bool autoencoder_only;   /* the file may hold nothing else: such a model can be evaluated, and cannot draw */
	const char *lora_folder; /* where <lora:NAME:WEIGHT> of a prompt finds NAME.safetensors; NULL: the model's folder */
	const char *const *loras; /* further LoRA files, each "FILE" or "FILE:WEIGHTS" (docs/sampling.md) */
	int lora_count;
	const char *embedding_folder;  /* of words learned by textual inversion, each a file by its name; NULL: none */
	const sumi_listener *listener; /* for opening the model; calls that draw have their own. May be NULL */
	const char *prediction; /* what the denoiser's output means: "epsilon", "v", "x0", "flow"; NULL: as the file says */
	const char *device; /* what computes: "cpu"; "cuda" or "cuda:N": a GPU; "auto": a GPU if there is one; NULL: cpu */
	/* Files with text encoders, each alone or in a whole model; NULL: the model's own. Of Stable Diffusion 3's, each
	 * may be missing, and then leaves its part of the conditioning to zeros. */
	const char *clip_l; /* CLIP's, of Stable Diffusion 1, SDXL and 3 */
	const char *clip_g; /* OpenCLIP's, of SDXL and Stable Diffusion 3 */
	const char *t5xxl;  /* T5's, of Stable Diffusion 3 */
} sumi_model_options;

SUMI_API void sumi_model_options_init(sumi_model_options *options, size_t size);
static inline sumi_model_options sumi_model_defaults(void)
{
	sumi_model_options o;
	sumi_model_options_init(&o, sizeof o);
	return o;
}

/* Opens a model: a .safetensors file (or the index of a sharded one), a .ckpt or .pt file, or a diffusers folder.
 * Formats are recognised by content. The family is recognised from names and shapes of the tensors, and every tensor is
 * checked: one that is missing or has another shape is a SUMI_BAD_FILE. Weights stay in the file, mapped, and are
 * read when they are used: do not change the file while the model is open. options may be NULL: the defaults.
 * NULL: it failed. Free with sumi_close(), when no session of it is open. */
SUMI_API sumi_model *sumi_open(const char *path, const sumi_model_options *options, sumi_error *e);
SUMI_API void sumi_close(sumi_model *model);

/* The size the model was made for, and the name of its family; the name lives as long as the model. Of no model: 0 × 0,
 * and "". */
SUMI_API void sumi_model_size(const sumi_model *model, int *width, int *height);
SUMI_API const char *sumi_model_family(const sumi_model *model);

/* The SHA-256 of a model's file as 64 hexadecimal digits in hex, remembered in $XDG_CACHE_HOME/sumi/hashes by path,
 * size and time. Gigabytes take seconds. */
SUMI_API bool sumi_hash(const char *path, char hex[65], sumi_error *e);

/* ── pictures ── */

struct sumi_image {
	size_t size;
	int width, height;
	unsigned char *pixels; /* width · height · 3 bytes: red, green, blue; rows from the top */
	int64_t seed;          /* what it was made from; -1: it was not */
	char *parameters;      /* how it was made, as A1111 writes it into files (or ComfyUI's graph); NULL: unknown */
	unsigned char *alpha;  /* width · height bytes, 0 transparent … 255 opaque; NULL: opaque everywhere */
	/* Where the words of sumi_options.attention_words are heard: attention_count maps one after the other, each
	 * attention_height rows of attention_width numbers, from the top: the latent's size, so 1/8 of the picture's to a
	 * side for most models. 0 … 1: how much of its attention to the words a place gives to this one's tokens, as the
	 * mean over all steps, layers and heads. NULL: there are none. */
	float *attention;
	int attention_count, attention_width, attention_height;
};

/* A picture with memory of its own; pixels are copied (NULL: black). Free with sumi_image_free(). */
SUMI_API sumi_image *sumi_image_new(int width, int height, const unsigned char *pixels, sumi_error *e);
/* A PNG, JPEG, WebP or uncompressed BMP file, recognised by content, with its parameters. A transparent picture is
 * composited on white; alpha keeps its opacity. Free with sumi_image_free(). */
SUMI_API sumi_image *sumi_image_read(const char *path, sumi_error *e);
/* The same from memory. */
SUMI_API sumi_image *sumi_image_decode(const void *bytes, size_t count, sumi_error *e);
/* Its size as it says it, without its pixels. False: not the beginning of such a file. */
SUMI_API bool sumi_image_size_of(const void *bytes, size_t count, int *width, int *height);
/* Writes PNG (or JPEG or WebP, by the file name's extension) with the parameters in it. A temporary file in the same
 * folder is renamed at the end, so the file is complete or absent. */
SUMI_API bool sumi_image_write(const sumi_image *image, const char *path, sumi_error *e);
/* The same to memory: *bytes is the caller's, to be freed with sumi_free(). format: "png", "jpeg", "webp". quality, of
 * JPEG and WebP: 1 … 100, 0 means 90; WebP at 100 is lossless. */
SUMI_API bool sumi_image_encode(
    const sumi_image *image, const char *format, int quality, unsigned char **bytes, size_t *count, sumi_error *e);
SUMI_API void sumi_image_free(sumi_image *image);
/* Takes a picture's parameters apart: calls `each` with "Prompt", "Negative prompt" where there is one, and A1111's
 * names of the values ("Steps", "Sampler", …) with their texts, which are valid during the call. Reads A1111's text,
 * whichever tool wrote it, and ComfyUI's graph as far as it is one KSampler; SUMI_BAD_FILE for what says nothing of the
 * kind. */
typedef void sumi_parameter_fn(void *context, const char *name, const char *value);
SUMI_API bool sumi_parameters_read(const char *text, sumi_parameter_fn *each, void *context, sumi_error *e);
/* The parameters of a picture file, and its size to *width and *height (each may be NULL), without decoding its pixels.
 * "" where it has none. Free with sumi_free(). NULL: it failed. */
SUMI_API char *sumi_image_parameters(const char *path, int *width, int *height, sumi_error *e);
/* Pictures in rows of `columns`, on white, `gap` pixels between them; smaller ones stand in the middle of their cells.
 * NULL: it failed. Free with sumi_image_free(). */
SUMI_API sumi_image *sumi_image_grid(const sumi_image *const *pictures, int count, int columns, int gap, sumi_error *e);
/* The picture at another size, resampled as Pillow's Lanczos does it; its seed and parameters are kept, its alpha is
 * not. NULL: it failed. Free with sumi_image_free(). */
SUMI_API sumi_image *sumi_image_resize(const sumi_image *image, int width, int height, sumi_error *e);
/* White edges on black, as OpenCV's Canny() finds them: they begin where the gradient is above `high` and go on while
 * it is above `low`, 0 <= low <= high; 100 and 200 are usual. NULL: it failed. Free with sumi_image_free(). */
SUMI_API sumi_image *sumi_image_edges(const sumi_image *image, int low, int high, sumi_error *e);
/* The picture with map `map` of image->attention over it: from dark blue where the word is heard least, over red and
 * orange, to light yellow where it is heard most. NULL: it failed, or there is no such map. Free with
 * sumi_image_free(). */
SUMI_API sumi_image *sumi_image_attention(const sumi_image *image, int map, sumi_error *e);
/* Whether a picture could be written to this path; creates nothing. Check it before hours of work. */
SUMI_API bool sumi_image_writable(const char *path, sumi_error *e);

/* ── drawing ── */

/* A control network (ControlNet) or T2I-Adapter, which its file says: a picture, such as edges or a pose, that the
 * drawing follows. */
typedef struct sumi_control {
	size_t size;
	const char *path;        /* of its file, or of its diffusers folder */
	const sumi_image *image; /* what it reads, resized to the size of the picture */
	double strength;         /* 1; 0 … 10 */
	double from, to;         /* 0, 1: it counts in the steps that lie between these shares of all */
	/* "balanced" (NULL), "prompt": the prompt is more important, "control": the picture is more important, or "guess":
	 * diffusers' guess mode, for no prompt at all. */
	const char *mode;
	/* high > 0: it reads the edges of image by Canny with these thresholds; 100 and 200 are usual. */
	int canny_low, canny_high;
} sumi_control;

SUMI_API void sumi_control_init(sumi_control *control, size_t size);
static inline sumi_control sumi_control_defaults(void)
{
	sumi_control c;
	sumi_control_init(&c, sizeof c);
	return c;
}

/* An IP-Adapter: a picture as a prompt, or several, besides the words. */
typedef struct sumi_ip_adapter {
	size_t size;
	const char *path;        /* of its file */
	const char *vision;      /* of the CLIP vision tower that it was made for: its file, or its folder */
	const sumi_image *image; /* its shorter side is resized to the tower's, and the middle of the longer one is taken */
	double strength;         /* 1; 0 … 10 */
	double from, to;         /* 0, 1: it counts in the steps that lie between these shares of all */
	/* Several pictures, at most 16, read in place of `image`: the tokens of all are attended to together. */
	const sumi_image *const *images;
	int image_count;
	const sumi_image *mask; /* it counts where this, resized to the picture, is white; NULL: everywhere */
	/* How strongly each block of the U-Net has it: "down_2=0:1,up_0=0:1:0,mid=0.5", with one number for a block or one
	 * for each of its transformers, and 0 for those that are not named; of SDXL also "style", "layout" or both
	 * (InstantStyle). NULL: all as `strength` says, by which these are multiplied. */
	const char *blocks;
} sumi_ip_adapter;

SUMI_API void sumi_ip_adapter_init(sumi_ip_adapter *adapter, size_t size);
static inline sumi_ip_adapter sumi_ip_adapter_defaults(void)
{
	sumi_ip_adapter a;
	sumi_ip_adapter_init(&a, sizeof a);
	return a;
}

typedef struct sumi_options {
	size_t size;
	/* Text, with A1111's syntax: (more:1.2) [less] [from:to:0.5] [a|b] this AND that BREAK <lora:name:0.8> */
	const char *prompt;
	const char *negative_prompt; /* the unconditional side of classifier-free guidance; NULL: "" */
	int width, height; /* multiples of the model's factor (8; Stable Diffusion 3: 16); 0: the model's, or init's */
	int steps;         /* 20; 1 … 10000 */
	double guidance;   /* classifier-free guidance (cfg scale), at most 1000. 0 … 1: unguided, the negative prompt is
	                    * not read; negative: as the model is best, 7 for Stable Diffusion (the default) */
	double guidance_rescale;                     /* 0: off … 1: as much contrast as without guidance */
	double guidance_skip_from, guidance_skip_to; /* no guidance in the steps between these fractions, 0 … 1 */
	const char *sampler;                         /* any spelling of sumi_sampler_name(); NULL: the family's default */
	const char *schedule;                        /* any spelling of sumi_schedule_name(); NULL: the sampler's default */
	double eta;      /* noise of DDIM and the ancestral samplers, 0 … 1; negative: the sampler's own */
	int64_t seed;    /* 42; -1: a random one, found in the picture's seed */
	const char *rng; /* "cpu": PyTorch's noise on a CPU; "cuda": on a GPU; NULL: cpu */
	int clip_skip;   /* take the states of this layer of the text encoder, counted from the last, 1; 0: the family's own
	                  */
	/* With variation_strength, 0 … 1: how far the first noise is turned from the seed's to this one's, on the sphere
	 * where both lie (A1111's variations). */
	int64_t variation_seed;
	double variation_strength;
	const char *prompt_to;  /* with blend: another prompt, of as many chunks; NULL: none */
	double blend;           /* 0 … 1: the contexts of both are mixed, this much of prompt_to's */
	const sumi_image *init; /* begin from this picture, resized; NULL: from noise */
	const sumi_image *mask; /* with init: white is painted anew, black and what is transparent stay; NULL: all is */
	double strength;        /* 0.75: how much of the way to noise init is taken, 0 … 1 */
	bool hashes; /* write the SHA-256 of the model's files into the parameters; computed while the picture is drawn */
	/* How previews are made: "linear" (NULL) projects the latent to colours, one pixel for each latent position, which
	 * costs one decoding of 128 positions for a session; "taesd" by the tiny autoencoder; "decoder" by the model's own
	 * decoder, as slow as the last stage. */
	const char *preview;
	const sumi_listener *listener; /* NULL: none */
	sumi_cancel *cancel;           /* NULL: none */
	double flow_shift; /* of a model of flow: towards more noise; 0: the family's (3 for Stable Diffusion 3) */
	/* Size conditioning of SDXL: the original size of the picture, the top left corner of its crop, and the target
	 * size; 0: the picture's own. Its refiner takes an aesthetic score, 0 … 10, in place of the target size. */
	int original_width, original_height, crop_left, crop_top, target_width, target_height;
	double aesthetic_score, negative_aesthetic_score; /* 6 and 2.5 */
	/* An empty negative prompt is no text at all but zeros, as diffusers has it for SDXL; false: it is encoded, as
	 * A1111 and ComfyUI do. */
	bool zero_negative;
	/* A second model's file, which finishes the picture: from the first step whose time is in the last 1 −
	 * refiner_start of the training times (0.8), as in diffusers and A1111. It must work on the model's latents, as
	 * SDXL's refiner does; the model's LoRA files are not added to it. NULL: none. */
	const char *refiner;
	double refiner_start;
	/* Skip-layer guidance, for Stable Diffusion 3.5 medium: slg_scale times what these blocks of the transformer add to
	 * the conditional output, in the steps between two fractions of all, 0.01 and 0.2. */
	const char *skip_layers; /* "7,8,9" (NULL) */
	double slg_scale;        /* 0: off; negative (the default): 2.5 where skip_layers is given, else off */
	double skip_layer_start, skip_layer_end;
	/* Perturbed-attention guidance, for U-Nets: pag_scale times what self-attention in these places adds to the
	 * conditional output (Ahn et al. 2024). It takes skip-layer guidance's place there. */
	double pag_scale;       /* 0: off */
	const char *pag_layers; /* "mid" (NULL), "down_1", "up_0", … as diffusers numbers blocks, with commas */
	/* FreeU (Si et al. 2023), for U-Nets: "b1,b2,s1,s2"; "v2:" or "blocks:" in front: version 2, diffusers' rule. NULL:
	 * off. */
	const char *free_u;
	const sumi_control *const *controls; /* at most 8 */
	int control_count;
	/* Another form of classifier-free guidance and what it takes, "apg:eta=0,norm=15,momentum=-0.5"; any spelling of
	 * sumi_guidance_name(). APG (Sadat et al. 2024): eta, norm, momentum; "APG ComfyUI" and "APG diffusers" are theirs.
	 * CFG-Zero (Fan et al. 2025), and ComfyUI's. CFG norm: strength. Rescale CFG: share. Dynamic thresholding: mimic,
	 * percentile. NULL: plain. */
	const char *guidance_method;
	/* The autoencoder works in tiles of about this side, in pixels, which bounds its memory and takes longer: 256 at
	 * least for most models, 448 for a tiny autoencoder. 0: in one piece, or, where that would take more than
	 * max_memory, in tiles as large as fit; a note says so. */
	int tile_size;
	/* How init and mask are used, as in A1111. Without a mask or an extension, mask_blur and mask_padding do nothing,
	 * and mask_inverted, mask_soft, only_masked and mask_fill are refused. */
	const char
	    *resize_mode; /* init of another shape: "resize" (NULL) stretches it, "crop" cuts off, "pad" repeats edges
	                   */
	int extend_left, extend_right, extend_up, extend_down; /* pixels around init that are painted too */
	double mask_blur;   /* standard deviation in pixels of a Gaussian blur of the mask; 0: none */
	bool mask_inverted; /* black is painted and white stays */
	/* Grey is not rounded to black or white, but says how late in the steps a place may begin to change (differential
	 * diffusion, Levin and Fried 2023): white at once, black never. */
	bool mask_soft;
	/* What the mask covers, with mask_padding pixels (32) around it, is cut out, drawn at width × height, and put back:
	 * the picture has init's size. */
	bool only_masked;
	int mask_padding;
	const char *mask_fill; /* what is begun from under the mask: "original" (NULL), "fill": the colours around it,
	                        * "latent noise", "latent nothing" */
	/* A second pass: the picture is made so many times larger to a side, above 1 and at most 8, and drawn again from
	 * there, hires_strength of the way (0.7) in hires_steps. 0: none. */
	double hires_scale, hires_strength;
	int hires_steps;            /* 0: as many as `steps` */
	const char *hires_upscaler; /* "latent" (NULL), "latent (nearest-exact)", "lanczos", or a file that
	                             * sumi_upscaler_open() takes */
	/* Words or phrases of the prompt, without its brackets, for each of which the picture gets a map of where it is
	 * heard (DAAM, Tang et al. 2022): sumi_image.attention, in this order. Of a prompt with AND, all its branches
	 * count; with hires_scale, the second pass does. At most 64. It costs time, and no bit of the picture. Refused
	 * where a word is not in the prompt, with only_masked, and for models without attention to words. */
	const char *const *attention_words;
	int attention_count;
	/* DeepCache (Ma et al. 2023), for U-Nets: "N" or "N:BRANCH". Of every N calls of the network (2 … 1000) the first
	 * is whole; the others run the blocks 0 … BRANCH (0) on the way down and their partners on the way up alone, on
	 * what the last whole one had made below. Faster, and another picture. Samplers that call it several times a step
	 * (Heun) count each call. A refiner's calls are all whole, and maps of attention_words are of whole calls. NULL:
	 * off. */
	const char *deep_cache;
	const sumi_ip_adapter *const *ip_adapters; /* at most 4 */
	int ip_adapter_count;
} sumi_options;

SUMI_API void sumi_options_init(sumi_options *options, size_t size);
static inline sumi_options sumi_defaults(void)
{
	sumi_options o;
	sumi_options_init(&o, sizeof o);
	return o;
}

/* A session draws from a model and keeps what it has compiled and packed, so that the next picture of the same shape
 * starts at once. What it keeps counts towards its memory limit; beyond that, the least recently used is freed. */
typedef struct sumi_session sumi_session;

typedef struct sumi_session_options {
	size_t size;
	uint64_t max_memory; /* bytes that the process may take while this session draws; 0: the model's */
} sumi_session_options;

SUMI_API void sumi_session_options_init(sumi_session_options *options, size_t size);
static inline sumi_session_options sumi_session_defaults(void)
{
	sumi_session_options o;
	sumi_session_options_init(&o, sizeof o);
	return o;
}

/* The model must outlive it. options may be NULL. NULL: it failed. Free with sumi_session_close(). */
SUMI_API sumi_session *sumi_session_open(sumi_model *model, const sumi_session_options *options, sumi_error *e);
SUMI_API void sumi_session_close(sumi_session *session);

/* Makes one picture. The same model, options and seed give the same bytes, from run to run and for any number of
 * threads. Memory is planned before the first step; what will not fit is refused with SUMI_NO_MEMORY. NULL: it failed.
 * Free with sumi_image_free(). */
SUMI_API sumi_image *sumi_session_draw(sumi_session *session, const sumi_options *options, sumi_error *e);

/* Makes `count` pictures (1 … 4096), one for each of the options, into pictures[]; those that are alike in size, steps,
 * sampler, prompt length and LoRAs run through the networks together, as many as fit. Each picture has the bytes that
 * sumi_session_draw() gives. The listener, cancel and preview of the first options count for all. On failure, nothing
 * is left in pictures[]. */
SUMI_API bool sumi_session_draw_batch(
    sumi_session *session, const sumi_options *const *options, int count, sumi_image **pictures, sumi_error *e);

/* How many pictures of these options' size a batch draws at once at most; more are drawn group by group. 0: no session
 * or no options. */
SUMI_API int sumi_session_at_once(const sumi_session *session, const sumi_options *options);

/* Frees what the session keeps, least recently used first, until at most this many bytes are left; 0: all of it. */
SUMI_API void sumi_session_trim(sumi_session *session, uint64_t bytes);
/* Bytes that it keeps. */
SUMI_API uint64_t sumi_session_bytes(const sumi_session *session);

/* One picture by a session for this call alone, in which each network is freed before the next is allocated: the least
 * memory. */
SUMI_API sumi_image *sumi_generate(sumi_model *model, const sumi_options *options, sumi_error *e);

/* How a model reads a prompt in the first step, LoRAs left out. *tokens: of the text; *room: that fit into the chunks
 * which it takes, 75 to a chunk, or into the one piece that T5 reads. Where AND parts prompts, those of the longest.
 * `each`, which may be NULL, is called for each stretch of text that has one weight, in order: `length` bytes without
 * brackets, weights and escapes, valid during the call. */
typedef void sumi_prompt_fn(void *context, const char *text, size_t length, double weight);
SUMI_API bool sumi_prompt_read(const sumi_model *model, const char *prompt, int *tokens, int *room,
    sumi_prompt_fn *each, void *context, sumi_error *e);

/* The tokens of a text as each of the model's text encoders reads them, without start, end and padding: calls `each`
 * for one after the other. Brackets and the like in it are characters. encoder: 0, 1, 2. text: as the tokenizer's table
 * has it, valid during the call: CLIP's "cat</w>" ends a word, BERT's "##ing" goes on with one, T5's "▁cat" begins one,
 * and the bytes need not be UTF-8; of a learned word its name. */
typedef void sumi_token_fn(void *context, int encoder, int id, const char *text);
SUMI_API bool sumi_prompt_tokens(
    const sumi_model *model, const char *text, sumi_token_fn *each, void *context, sumi_error *e);

/* ── enlarging ── */

/* A network that makes a picture larger: RRDBNet (ESRGAN, Real-ESRGAN) or SRVGGNetCompact, in any of its layouts. */
typedef struct sumi_upscaler sumi_upscaler;

typedef struct sumi_upscaler_options {
	size_t size;
	const char *type; /* as in sumi_model_options, as are the next */
	int threads;
	uint64_t max_memory;
	const char *device;
} sumi_upscaler_options;

SUMI_API void sumi_upscaler_options_init(sumi_upscaler_options *options, size_t size);
static inline sumi_upscaler_options sumi_upscaler_defaults(void)
{
	sumi_upscaler_options o;
	sumi_upscaler_options_init(&o, sizeof o);
	return o;
}

/* options may be NULL. NULL: it failed. Free with sumi_upscaler_close(). It does not change once it is open: any number
 * of threads may use it. */
SUMI_API sumi_upscaler *sumi_upscaler_open(const char *path, const sumi_upscaler_options *options, sumi_error *e);
SUMI_API void sumi_upscaler_close(sumi_upscaler *upscaler);
SUMI_API int sumi_upscaler_scale(const sumi_upscaler *upscaler); /* 4, say: to a side; 0: NULL */

typedef struct sumi_upscale_options {
	size_t size;
	int tile;                      /* pixels to a side that are made at a time; 0: all, or what there is memory for */
	int tile_pad;                  /* 10: further pixels around a tile that are read, so that no seam shows */
	const sumi_listener *listener; /* stage "upscale", counted in tiles; NULL: none */
	sumi_cancel *cancel;           /* NULL: none */
} sumi_upscale_options;

SUMI_API void sumi_upscale_options_init(sumi_upscale_options *options, size_t size);
static inline sumi_upscale_options sumi_upscale_defaults(void)
{
	sumi_upscale_options o;
	sumi_upscale_options_init(&o, sizeof o);
	return o;
}

/* The enlarged picture, opaque; its parameters are the picture's own and how it was enlarged, as A1111 writes it.
 * options may be NULL. NULL: it failed. Free with sumi_image_free(). */
SUMI_API sumi_image *sumi_upscale(
    const sumi_upscaler *upscaler, const sumi_image *image, const sumi_upscale_options *options, sumi_error *e);

/* Names in a list that ends with NULL: for i = 0, 1, … */
SUMI_API const char *sumi_sampler_name(int i);
SUMI_API const char *sumi_schedule_name(int i);
SUMI_API const char *sumi_guidance_name(int i);
SUMI_API const char *sumi_family_name(int i);
SUMI_API const char *sumi_type_name(int i); /* of elements, for sumi_init() and sumi_convert() */

/* Writes a network as it would run for these options, a line for each node: shape, place in memory, kernel. part:
 * "encode", "denoise" or "decode". profile: it is run, and each line and a table have the times. */
SUMI_API bool sumi_dump(sumi_model *model, const sumi_options *options, const char *part, bool profile,
    sumi_write_fn *write, void *context, sumi_error *e);

/* ── training ── */

/* A run that trains a model: "autoencoder" (pictures to latents and back), "diffusion" (text encoder and denoiser, from
 * nothing or from a checkpoint), "lora", "embedding" (a new word: textual inversion) or "controlnet". Its options have
 * the names of diffusers' and kohya's scripts and take their values as text; `sumi train JOB --help` lists them, and
 * sumi_training_option_at() lists them for a program.
 *
 *     sumi_training *run = sumi_training_new("diffusion", &e);
 *     sumi_training_set(run, "model", "v1-5.safetensors", &e);
 *     sumi_training_set(run, "train_data_dir", "pictures", &e);
 *     sumi_training_set(run, "output", "mine.safetensors", &e);
 *     sumi_training_run(run, NULL, &e);
 *     sumi_training_free(run); */
typedef struct sumi_training sumi_training;

typedef struct sumi_training_progress {
	int64_t step, steps;  /* done, and of the whole run */
	double loss;          /* of the last step */
	double smoothed_loss; /* exponential mean over about 50 steps */
	double learning_rate, gradient_norm;
	double images_per_second, seconds_left;
	double waited; /* share of the time that was spent waiting for data, 0 … 1 */
	int rank;      /* of this process among those that mpirun started, from 0; the numbers are those of all together */
} sumi_training_progress;

typedef struct sumi_training_listener {
	size_t size;
	void *context; /* passed to both */
	/* After each step. Nonzero, in any process: all save a checkpoint together, then fail with SUMI_STOPPED. May be
	 * NULL. */
	int (*progress)(void *context, const sumi_training_progress *p);
	/* A line without newline at its end. May be NULL. */
	void (*note)(void *context, const char *line);
} sumi_training_listener;

SUMI_API void sumi_training_listener_init(sumi_training_listener *listener, size_t size);
static inline sumi_training_listener sumi_training_listener_defaults(void)
{
	sumi_training_listener l;
	sumi_training_listener_init(&l, sizeof l);
	return l;
}

typedef struct sumi_training_option { /* static texts */
	size_t size;                      /* the caller's: sizeof of it */
	const char *name;                 /* as in --name; of a heading, its text */
	const char *value;                /* what kind of value it takes; NULL: a heading */
	const char *standard;             /* the job's default as text; "" where it depends on others */
	const char *help;                 /* one line */
	bool heading, flag;               /* flag: its value is true or false */
	/* The words that it takes, with '|' between them and behind '=' other words for the same: "no=f32=fp32|bf16".
	 * NULL: any text, or not a text. */
	const char *choices;
} sumi_training_option;

/* A further job, "cache", trains nothing: it encodes the pictures of train_data_dir by the autoencoder of `model` (and
 * the captions by its text encoder) into the folder `output`, which other runs take as their train_data_dir. Its
 * progress counts pictures; steps is 0 where their number is not known.
 *
 * A run begins with its job's defaults. NULL: it failed. Free with sumi_training_free(). */
SUMI_API sumi_training *sumi_training_new(const char *job, sumi_error *e);
SUMI_API void sumi_training_free(sumi_training *run);
/* Sets an option, named as sumi_training_find() takes it. An unknown name or a value out of its range is a
 * SUMI_BAD_USAGE. */
SUMI_API bool sumi_training_set(sumi_training *run, const char *name, const char *value, sumi_error *e);
/* The value that an option has now, to `text` of `size` bytes: cut to fit. */
SUMI_API bool sumi_training_get(const sumi_training *run, const char *name, char *text, size_t size, sumi_error *e);
/* Sets what a JSON file names: {"learning_rate": 1e-4, "validation_prompts": ["a", "b"]}. */
SUMI_API bool sumi_training_load(sumi_training *run, const char *path, sumi_error *e);
/* Trains to the end, and writes the model. What is killed resumes from its last checkpoint with
 * resume_from_checkpoint = "latest", and ends with the same bytes. listener may be NULL. */
SUMI_API bool sumi_training_run(const sumi_training *run, const sumi_training_listener *listener, sumi_error *e);
/* The options of a job: for i = 0, 1, … until it is false. option->size is set, the rest is filled in. */
SUMI_API bool sumi_training_option_at(const char *job, int i, sumi_training_option *option);
/* The option of a job that a name means: case does not count, '-' and '_' are one, and what diffusers' and kohya's
 * scripts call the same thing is known. option->size is set, the rest is filled in. Unknown: SUMI_BAD_USAGE, with the
 * name that was probably meant. */
SUMI_API bool sumi_training_find(const char *job, const char *name, sumi_training_option *option, sumi_error *e);

/* ── measuring ── */

/* How well a model draws, measured with real pictures: folders with a metadata.jsonl, whose lines hold "file_name",
 * "text" and any other fields.
 *
 * - The autoencoder: PSNR of bytes, 20·log10(255/rms), of pictures encoded to their mean latent and decoded.
 * - A judge: a picture is drawn for a text, and the nearest of all real pictures is looked for, by Euclidean distance
 *   in a space: "pixels" is the picture averaged down to the size of its latent and blurred ([1 2 1]/4 both ways),
 *   "latent" is the autoencoder's mean latent. How often a disturbed and reconstructed real picture is nearest to its
 *   original is reported for both.
 * - The Fréchet distance (Heusel et al. 2017) between the mean latents, averaged over 4×4 parts, of what was drawn for
 *   the training set's texts and of that set; and of two halves of the set, which is the least that can be expected.
 *
 * Pictures may belong to a group and be a variant in it (emoji: base and skin tone), as fields of the metadata say. Two
 * accuracies are measured on held-out pictures that have both: the group is among the five nearest; and, within the
 * group, the nearest is the right variant.
 *
 * The same model, options and seed give the same figures. */
typedef struct sumi_evaluation_options {
	size_t size;
	const char *data;              /* folder of pictures that the model was trained on */
	const char *heldout;           /* folder of pictures that it was not trained on; NULL: none */
	const char *group, *variant;   /* fields of metadata.jsonl; NULL: there are no groups */
	const char *space;             /* of the judge: "latent", "pixels"; NULL: latent */
	bool autoencoder;              /* measure only the autoencoder and the judge: nothing is drawn */
	int samples;                   /* 2000: drawn for texts of data, chosen by the seed; held-out texts are all drawn */
	int shown;                     /* 48: how many of them the grid shows */
	const sumi_options *draw;      /* how: steps, guidance, sampler, seed, …; NULL: sumi_defaults(). Its prompt, size,
	                                * pictures and listener are not used; sample i has the seed plus i */
	const sumi_listener *listener; /* stages "look", "rebuild", "check" and "draw", counted in pictures; may be NULL */
} sumi_evaluation_options;

SUMI_API void sumi_evaluation_options_init(sumi_evaluation_options *options, size_t size);
static inline sumi_evaluation_options sumi_evaluation_defaults(void)
{
	sumi_evaluation_options o;
	sumi_evaluation_options_init(&o, sizeof o);
	return o;
}

typedef struct sumi_evaluation {
	char *table;      /* lines of text */
	char *json;       /* the same figures, and a list of all samples with what was nearest */
	sumi_image *grid; /* four times a row: drawn, the nearest real picture, the wanted one; NULL: nothing was drawn */
} sumi_evaluation;

/* NULL: it failed. Free with sumi_evaluation_free(). */
SUMI_API sumi_evaluation *sumi_evaluate(sumi_model *model, const sumi_evaluation_options *options, sumi_error *e);
SUMI_API void sumi_evaluation_free(sumi_evaluation *result);

/* ── files ── */

/* Writes a new model with random weights: full size, in the published layout. family: a name, or the path of a JSON
 * file (*.json) that describes one. The same seed gives the same bytes. type: "f32", "f16", "bf16", "f8_e4m3",
 * "f8_e5m2" (vectors then f16); NULL: f32. zeros: the layers that training starts at zero are zero, so that the model
 * draws nothing yet; otherwise they are random too.
 */
SUMI_API bool sumi_init(const char *family, uint64_t seed, const char *type, bool zeros, const char *path,
    const sumi_listener *listener, sumi_error *e);

/* What a file is: family, parameters, types, and every missing, unexpected and misshaped tensor, as lines of text in
 * *report (NULL where the file cannot be read at all). True: a model that can be used. Free with sumi_free(). */
SUMI_API bool sumi_info(const char *path, char **report, sumi_error *e);

/* Copies a model. `to` is safetensors, or GGUF where its name ends in ".gguf". type: of the float tensors, as for
 * sumi_init(), of a GGUF "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"; NULL: as they are. Values that
 * are too large for it are SUMI_BAD_FILE, with how many; with `clamp` they become the largest that it has. layout:
 * "single" file or "diffusers" folder; NULL: a folder where `to` ends in "/". Streams: takes little memory. */
SUMI_API bool sumi_convert(const char *from, const char *to, const char *type, const char *layout, bool clamp,
    const sumi_listener *listener, sumi_error *e);

/* The same, with LoRA files of any kind worked into the weights for good: each is "FILE" or "FILE:WEIGHTS". What they
 * change is held in memory. */
SUMI_API bool sumi_merge(const char *from, const char *to, const char *const *loras, int count, const char *type,
    const char *layout, bool clamp, const sumi_listener *listener, sumi_error *e);

typedef struct sumi_convert_options { /* of both, and more */
	size_t size;
	const char *type, *layout;
	const char *const *loras;
	int lora_count;
	bool clamp;
	uint64_t max_shard; /* bytes; what of a folder is larger is written as several files and an index: 10 GB, which is
	                     * diffusers' own limit */
	const sumi_listener *listener;
} sumi_convert_options;

SUMI_API void sumi_convert_options_init(sumi_convert_options *options, size_t size);
static inline sumi_convert_options sumi_convert_defaults(void)
{
	sumi_convert_options o;
	sumi_convert_options_init(&o, sizeof o);
	return o;
}
SUMI_API bool sumi_convert_as(const char *from, const char *to, const sumi_convert_options *options, sumi_error *e);

typedef struct sumi_extract_options {
	size_t size;
	int rank;         /* of linear layers and 1×1 convolutions: 16 */
	int conv_rank;    /* of larger convolutions, which are taken with the residual blocks of a U-Net; 0: they are not */
	bool all_layers;  /* embeddings of time, first and last layers too, which few other tools read */
	const char *type; /* of the file: "f32", "f16", "bf16"; NULL: f16 */
	const char *keys; /* "kohya" or "peft", as of a LoRA that is trained; NULL: kohya */
	const sumi_listener *listener; /* may be NULL. Stages: "compare" and "extract" */
} sumi_extract_options;

SUMI_API void sumi_extract_options_init(sumi_extract_options *options, size_t size);
static inline sumi_extract_options sumi_extract_defaults(void)
{
	sumi_extract_options o;
	sumi_extract_options_init(&o, sizeof o);
	return o;
}

/* The difference of two checkpoints of one kind, `tuned` − `base`, as a LoRA file: of each layer's the nearest matrix
 * of that rank, by LAPACK, which is loaded for it. Layers that differ in no more than the rounding of their types are
 * left out. *report, where it is not NULL, says in lines of text what share is kept and what is left out: free it with
 * sumi_free(). Holds one layer at a time in memory. options may be NULL. */
SUMI_API bool sumi_lora_extract(const char *tuned, const char *base, const char *path,
    const sumi_extract_options *options, char **report, sumi_error *e);

SUMI_API void sumi_free(void *memory);

#ifdef __cplusplus
}
#endif
#endif
