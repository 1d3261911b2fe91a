/* families.h - a model family is data: its networks, where a checkpoint keeps them, how it was trained, and the keys by
 * which a file of it is recognised. Nothing else in Sumi asks which version a model is. */
#ifndef SUMI_MODELS_FAMILIES_H
#define SUMI_MODELS_FAMILIES_H
#include "models/clip.h"
#include "models/transformer.h"
#include "models/unet.h"
#include "models/vae.h"

enum { PREFIX_LENGTH = 64, NAME_LENGTH = 32 };

typedef struct text_config {
	enum { NO_TEXT, CLIP_TEXT, TRANSFORMER_TEXT } kind;
	clip_config clip;
	transformer_config transformer;
	int skip;                    /* CLIP blocks left out at the end; the final norm follows in any case */
	char tokenizer[NAME_LENGTH]; /* "clip" or "wordpiece" */
	int length;                  /* tokens of a prompt, begin and end included */
	int begin, end, padding;     /* ids; an end of -1: the tokenizer's own */
} text_config;

typedef struct family {
	char name[NAME_LENGTH];
	unet_config unet;
	vae_config vae;
	text_config text;
	/* Of the keys in a single-file checkpoint, without the dot. */
	char unet_prefix[PREFIX_LENGTH], vae_prefix[PREFIX_LENGTH], text_prefix[PREFIX_LENGTH];

	char beta_schedule[NAME_LENGTH]; /* as diffusers spells it: "scaled_linear" (CompVis: "linear"), "linear", … */
	double beta_start, beta_end;
	int timesteps;
	bool zero_terminal_snr;
	char prediction[NAME_LENGTH]; /* "epsilon", "v_prediction" or "flow" */
	float latent_scale;           /* what the denoiser sees = (latent − shift)·scale */
	float latent_shift;
	float guidance; /* by default, when sampling */
	int size;       /* of the pictures that it was trained on, pixels */
} family;

/* The families that Sumi knows, by number from 0; NULL past the last. */
const family *family_at(int i);
/* "sd1", "sd1-inpainting", "sd2.1", …; fails with BAD_USAGE and the list of names. */
const family *family_by_name(const char *name, error *e);

/* What a file holds under a key: false where it has no such tensor. data may be asked for (not NULL) to tell apart what
 * shapes cannot. */
typedef bool tensor_lookup(void *context, const char *key, dtype *d, shape *s, const void **data);
/* The known family whose signature keys are all there with their shapes; NULL and BAD_FILE where there is none. Whether
 * an SD 2 model predicts noise or velocity cannot be seen from its shapes: then the spread of one late bias decides, as
 * ComfyUI does it. */
const family *family_recognise(tensor_lookup *lookup, void *context, error *e);

/* Keys that belong to other uses of a checkpoint (schedule buffers, EMA copies, losses), that nobody misses or needs.
 */
bool family_ignores(const family *f, const char *key);

/* ── parameters ── */
typedef enum part { UNET_PART, VAE_PART, TEXT_PART, PARTS } part;

typedef struct parameter {
	const char *name; /* whole key of the single-file layout; valid during the callback */
	shape shape;
	dtype dtype;   /* F32, or that of a buffer */
	initial start; /* PyTorch's default for its layer, the original's for embeddings */
	bool zero;     /* the original starts it at zero instead */
	bool buffer;   /* no weight of a network: files may lack it */
} parameter;
typedef void parameter_fn(void *context, const parameter *p);
/* Builds the part's networks without data and tells every parameter once, in the order of use, and then its buffers.
 * Together the parts are what `sumi init` writes. */
bool family_parameters(const family *f, part p, parameter_fn *tell, void *context, error *e);
/* Writes the first values of a parameter as F32 (or, of an integer buffer, as its dtype) to out. The values depend on
 * the seed, the name and the place alone. `zero`: obey p->zero. */
void parameter_fill(const parameter *p, uint64_t seed, bool zero, void *out);

/* ── networks under their prefixes ── */
/* ids I32 [N,T] → context [N,T,C] full precision, as the denoiser wants it. `skip`: blocks to leave out at the end
 * (clip skip − 1); −1: the family's own. */
tensor family_encode_text(nn *n, const family *f, tensor ids, int skip);
int family_context_width(const family *f);
/* Shapes as unet(), vae_encode() and vae_decode() have them. */
tensor family_denoise(nn *n, const family *f, tensor x, tensor t, tensor context, tensor y);
tensor family_encode_image(nn *n, const family *f, tensor image);
tensor family_decode_latent(nn *n, const family *f, tensor latent);

/* ── JSON ── */
/* {"unet": {…}, "dd": {…}, "clip" | "openclip" | "transformer": {…}, …}: the arguments of the original classes by their
 * names; docs/models.md lists them. What is not given is as in Stable Diffusion 1. A checkpoint that Sumi wrote carries
 * this text in its metadata as "sumi.config". */
bool family_from_json(const char *json, family *f, error *e);
char *family_to_json(const family *f); /* the caller frees; NULL: out of memory */

#endif
