/* session.h - what drawing keeps between pictures: networks, compiled and packed for their shapes and adapters; the
 * prompts' LoRA files that they were packed with; states of texts. All of it counts in a budget, and what was used
 * longest ago goes first. The model is not changed. Networks of a second model, a refiner, are kept in the same way and
 * in the same budget. */
#ifndef SUMI_PIPELINE_SESSION_H
#define SUMI_PIPELINE_SESSION_H
#include "pipeline/stage.h"

typedef struct sumi_session session;

/* ── adapters ── */

/* A model, its LoRA files and those of a prompt. Equal ones are one set, identified by its address. */
typedef struct adapter_set adapter_set;

/* Takes the list over, also where it fails. Lives until the next session_begin() at least. NULL: failed. */
const adapter_set *session_adapters(session *s, const model *m, adapter_list *of_prompt, error *e);
const model *adapter_set_model(const adapter_set *a);
const adapter_list *adapter_set_files(const adapter_set *a); /* of the prompt */

/* ── a second model ── */

/* The model of this file, opened unless it is open already and has not changed, to compute as the session's does. Lives
 * as adapter sets do. NULL: failed. */
const model *session_refiner(session *s, const char *path, const watcher *w, error *e);

/* ── control networks and IP-Adapters ── */

/* The file, opened unless it is open already and has not changed. Lives as long as an adapter set does. NULL: failed.
 */
const control_file *session_control(session *s, const char *path, const watcher *w, error *e);

/* The same for an IP-Adapter and its vision tower. */
const ip_adapter_file *session_ip_adapter(session *s, const char *path, const char *vision, error *e);

/* ── networks ── */

typedef enum network_kind {
	TEXT_NETWORK,
	ENCODER_NETWORK,
	DENOISER_NETWORK,
	DECODER_NETWORK,
	TINY_NETWORK,
	CONTROL_NETWORK,
	/* An autoencoder in tiles: the part that sees all places, and the one that is run for each tile. */
	ENCODER_TILE_NETWORK,
	ENCODER_DEEP_NETWORK,
	DECODER_DEEP_NETWORK,
	DECODER_TILE_NETWORK,
	TINY_TILE_NETWORK,
	IMAGE_NETWORK, /* of an IP-Adapter: an image to tokens */
} network_kind;

enum { NETWORK_SIZES = 16 };

typedef struct network_key {
	network_kind kind;
	int size[NETWORK_SIZES];                              /* what the build depends on, in any order of its own */
	const adapter_set *adapters;                          /* NULL: none, not even the model's */
	const control_file *control;                          /* of a control network: the file that it is in; else NULL */
	const ip_adapter_file *ip_adapters[MOST_IP_ADAPTERS]; /* of a denoiser or an image network; NULL behind the last */
	struct image_prompt_form {                            /* … of a denoiser: what its build depends on besides */
		uint64_t absent;
		int images, masked;
	} image_prompts[MOST_IP_ADAPTERS];
} network_key;

/* The network, built and compiled unless it is there already. Valid until the next of these calls: fetch it by its key
 * again, for making room may have dropped it. NULL: failed. */
stage *session_network(session *s, const network_key *key, build_fn *build, const void *shapes, error *e);
/* The same, allocated, with room made for it; it stays until session_done(). `caller_bytes` are what its caller
 * holds meanwhile. */
stage *session_ready(session *s, const network_key *key, build_fn *build, const void *shapes, uint64_t caller_bytes,
    const watcher *w, error *e);
/* After its use: a session that keeps nothing frees it. */
void session_done(session *s, stage *network);
void session_drop(session *s, stage *network); /* in any case */
/* Drops the networks that were compiled, for their memory to be known, and are not allocated. */
void session_forget_plans(session *s);
/* While on, what is done stays, for it will be used again at once; then it is freed as above. */
void session_hold(session *s, bool on);

/* ── texts ── */

/* What a text encoder (0 … 2) gave for a chunk: states [length][width], then what it pools; NULL: not kept. */
const float *session_states(session *s, const int32_t *ids, int length, int encoder, int skip, const adapter_set *a);
/* Keeps a copy; out of memory is no failure. */
void session_keep_states(session *s, const int32_t *ids, int length, int encoder, int skip, const adapter_set *a,
    const float *states, size_t count);

/* ── previews ── */

/* A colour, −1 … 1, as a linear function of a latent position's channels: the last row is added (preview.h). */
enum { MOST_COLOUR_CHANNELS = 32 };
typedef struct latent_colours {
	bool known;
	double of[MOST_COLOUR_CHANNELS + 1][3];
} latent_colours;
latent_colours *session_colours(session *s);

/* ── the whole ── */

/* Before jobs are prepared: frees the LoRA files, control networks and IP-Adapters that no network was packed with. */
void session_begin(session *s);
/* keeps: false where one picture is drawn with the least memory. max_memory 0: the model's. */
session *session_open(const model *m, uint64_t max_memory, bool keeps, error *e);
void session_close(session *s); /* NULL is fine */
const model *session_model(const session *s);
bool session_keeps(const session *s);
uint64_t session_bytes(const session *s);
/* Bytes that the process takes now where networks lie: of the host's memory, or of a device's since the session began,
 * with what other programs took there meanwhile. */
uint64_t session_taken(const session *s);
uint64_t session_available(const session *s); /* bytes that could be allocated there */
uint64_t session_room(const session *s);      /* that networks at work together may take at most */
uint64_t session_peak(const session *s);      /* what the process took at most when a network had run */
void session_trim(session *s, uint64_t bytes);
/* Whether networks that take `most` bytes at a time could be made room for; e says how much is missing. *planned: what
 * the process then takes. */
bool session_has_room(const session *s, uint64_t most, const char *what, uint64_t *planned, error *e);

#endif
