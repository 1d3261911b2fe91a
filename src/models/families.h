/* families.h - a model family is data: its networks, where a checkpoint keeps them, how it was trained, and the keys by
 * which a file of it is recognised. No other code depends on a model's version. */
#ifndef SUMI_MODELS_FAMILIES_H
#define SUMI_MODELS_FAMILIES_H
#include "diffusion/schedule.h"
#include "models/denoiser.h"
#include "models/text_encoder.h"
#include "models/vae.h"

enum { PREFIX_LENGTH = 64, NAME_LENGTH = 32, TEXT_ENCODERS = 3 };

/* What a network is for. A family describes the first of them; the others come from files of their own. */
typedef enum role {
	DENOISER,
	AUTOENCODER,
	TEXT_ENCODER, /* the first; TEXT_ENCODER + 1 and + 2 */
	FAMILY_ROLES = TEXT_ENCODER + TEXT_ENCODERS,
	TINY_AUTOENCODER = FAMILY_ROLES,
	CONTROL,
	ROLES
} role;

/* How a denoiser's context and vector are made of what the text encoders give. */
typedef enum conditioning_rule {
	ONE_CONTEXT, /* the first encoder's states as they are, no vector: latent diffusion, SD 1, SD 2 */
	/* All encoders' states side by side; the vector is what the last one pools, then 256 sinusoids for each of six
	 * numbers: height and width of the original, top and left of the crop, height and width of the target; or of five,
	 * an aesthetic score in place of the last two: SDXL and its refiner */
	SIDE_BY_SIDE,
	/* The first two encoders' states side by side, filled with zeros to the third's width, and the third's below them;
	 * the vector is what the two pool, side by side. An encoder that is not there gives zeros: SD 3 */
	STACKED,
} conditioning_rule;

typedef struct family {
	char name[NAME_LENGTH];
	denoiser_config denoiser;
	vae_config autoencoder;
	text_config text[TEXT_ENCODERS];          /* NO_TEXT behind the last */
	char prefix[FAMILY_ROLES][PREFIX_LENGTH]; /* of the keys in a single-file checkpoint, without the dot */
	conditioning_rule conditioning;

	schedule_config betas; /* a model of flow has no use for them */
	prediction prediction;
	float flow_shift;   /* of a model of flow: towards more noise (shift_sigma()); 0: none */
	float latent_scale; /* what the denoiser sees = (latent − shift)·scale */
	float latent_shift;
	float guidance; /* by default, when sampling */
	int size;       /* of the pictures that it was trained on, pixels */
} family;

/* The supported families, by number from 0; NULL past the last. */
const family *family_at(int i);
/* "sd1", "sd1-inpainting", "sd2.1", …; fails with BAD_USAGE and the list of names. */
const family *family_by_name(const char *name, error *e);
/* What kohya's tools call models of this family ("sd_v1", "sd_v2"); its own name where they have none for it. */
const char *family_kohya_name(const family *f);

const char *role_name(role r); /* "denoiser", "autoencoder", "second text encoder", … */
bool family_has(const family *f, role r);
/* Published files of this family leave the component out: it comes in a file of its own, or not at all. */
bool family_apart(const family *f, role r);
/* The option that gives text encoder i a file of its own: "clip_l", "clip_g" (OpenCLIP's, of any size), "t5xxl"; NULL:
 * there is none for it. */
const char *family_text_option(const family *f, int i);
/* The component that this key of a single file belongs to, by the longest prefix; ROLES: none. */
role family_role_of(const family *f, const char *key);
/* What follows the component's prefix and its dot in a key of the component. */
const char *family_name_within(const family *f, role r, const char *key);
int family_context_width(const family *f); /* of the contexts that its text encoders make; 0: it has none */
int family_vector_width(const family *f);  /* of the vectors that they make, sizes included; 0: none */
/* SIDE_BY_SIDE: how many numbers of the vector are sinusoids' (6, or 5 with a score), each SIZE_SINUSOIDS wide. */
enum { SIZE_SINUSOIDS = 256 };
int family_size_numbers(const family *f);

/* What a file holds under a key: false where it has no such tensor. Where data is not
 * NULL it receives the values, for families that do not differ in shapes. */
typedef bool tensor_lookup(void *context, const char *key, dtype *d, shape *s, const void **data);
/* The known family whose signature keys are all there with their shapes; NULL and BAD_FILE where there is none. Whether
 * an SD 2 model predicts noise or velocity cannot be seen from its shapes: then the spread of one late bias decides, as
 * ComfyUI does it. */
const family *family_recognise(tensor_lookup *lookup, void *context, error *e);

/* Keys that belong to other uses of a checkpoint (schedule buffers, EMA copies, losses), which no network reads. */
bool family_ignores(const family *f, const char *key);

/* ── parameters ── */
typedef struct parameter {
	const char *name; /* whole key of the single-file layout; valid during the callback */
	shape shape;
	dtype dtype;   /* F32, or that of a buffer */
	initial start; /* PyTorch's default for its layer, the original's for embeddings */
	bool zero;     /* the original starts it at zero instead */
	bool buffer;   /* no weight of a network */
	bool optional; /* no picture depends on it (so it is with every buffer): files may lack it */
} parameter;
typedef void parameter_fn(void *context, const parameter *p);
/* Builds the component's networks without data and visits every parameter once, in the order of use, and then its
 * buffers; nothing of a role that the family does not have. Together these are what `sumi init` writes. */
bool family_parameters(const family *f, role r, parameter_fn *visit, void *context, error *e);
/* Writes the first values of a parameter as F32 (or, of an integer buffer, as its dtype) to out. The values depend on
 * the seed, the name and the place alone. `zero`: obey p->zero. */
void parameter_fill(const parameter *p, uint64_t seed, bool zero, void *out);

/* ── networks under their prefixes ── */
/* Text encoder 0 … 2, as text_encode() has it. */
text_states family_encode_text(nn *n, const family *f, int encoder, tensor ids, tensor ends, int skip);
tensor family_denoise(nn *n, const family *f, denoiser_inputs in);
/* Shapes as vae_encode() and vae_decode() have them. */
tensor family_encode_image(nn *n, const family *f, tensor image);
tensor family_decode_latent(nn *n, const family *f, tensor latent);
/* The two parts of each (vae_shallow_levels()). */
tensor family_encode_shallow(nn *n, const family *f, tensor image);
tensor family_encode_deep(nn *n, const family *f, tensor x);
tensor family_decode_deep(nn *n, const family *f, tensor latent);
tensor family_decode_shallow(nn *n, const family *f, tensor x);

/* ── JSON ── */
/* {"unet": {…}, "dd": {…}, "clip" | "openclip" | "transformer": {…}, …}: the arguments of the original classes by their
 * names; docs/models.md lists them. What is not given is as in Stable Diffusion 1. A checkpoint that Sumi wrote carries
 * this text in its metadata as "sumi.config". */
bool family_from_json(const char *json, family *f, error *e);
char *family_to_json(const family *f); /* the caller frees; NULL: out of memory */

#endif
