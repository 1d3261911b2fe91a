/* given.c - files of one component each, in whatever dialect they name it. */
#include "checkpoint/given.h"
#include "checkpoint/folder.h"
#include "models/diffusers.h"
#include <stdio.h>
#include <string.h>

/* ── one component ── */

typedef struct given_check {
	const model *m;
	role role;
	error *e;
} given_check;

static const char *article(role r) { return r == AUTOENCODER ? "an" : "a"; }

static void check_weight(void *context, const parameter *p)
{
	const given_check *c = context;
	const model *m = c->m;
	const weight *w = component_find(&m->components[c->role], &m->family, c->role, p->name, p->shape);
	const char *path = m->given_path[c->role], *what = role_name(c->role);
	const char *own = family_name_within(&m->family, c->role, p->name);
	if (!w && !p->optional)
		fail(c->e, BAD_FILE, "%s: not %s %s for %s: no tensor '%s'", path, article(c->role), what, m->family.name, own);
	if (!w || p->buffer) return;
	if (!shape_agrees(w, p->shape))
		fail(c->e, BAD_FILE, "%s: not %s %s for %s: '%s' has another shape", path, article(c->role), what,
		    m->family.name, own);
	else if (!dtype_is_float(w->dtype))
		fail(c->e, BAD_FILE,
		    "%s: '%s' is of type %s, which Sumi does not read: f32, f16, bf16, f8_e4m3 or f8_e5m2 is needed", path, own,
		    w->type_name);
}

static bool refuse(const model *m, role r, error *e)
{
	const char *path = m->given_path[r];
	if (r == TINY_AUTOENCODER) return fail(e, BAD_FILE, "%s: not a decoder of TAESD", path);
	return fail(e, BAD_FILE, "%s: not %s %s for %s", path, article(r), role_name(r), m->family.name);
}

/* An autoencoder for models of other latents says so: people mix those of 4 channels (SD 1, SDXL) with those of 16. */
static bool latents_agree(const model *m, error *e)
{
	const vae_config *c = &m->family.autoencoder;
	char key[PREFIX_LENGTH + 32];
	const char *prefix = m->family.prefix[AUTOENCODER];
	snprintf(key, sizeof key, "%s%sdecoder.conv_in.weight", prefix, *prefix ? "." : "");
	const weight *w = component_find(&m->components[AUTOENCODER], &m->family, AUTOENCODER, key, shape4(1, 1, 3, 3));
	return !w || w->ndims != 4 || w->shape[1] == c->z_channels ||
	       fail(e, BAD_FILE, "%s: an autoencoder of latents with %lld channels; those of %s have %d",
	           m->given_path[AUTOENCODER], (long long)w->shape[1], m->family.name, c->z_channels);
}

/* Every weight must be there: half of one autoencoder and half of another would draw nonsense. */
static bool open_one(model *m, role r, error *e)
{
	given_check check = { m, r, e };
	if (!m->given_path[r]) return true;
	if (!(m->given[r] = weights_open_folder(m->given_path[r], diffusers_folder(&m->family, r), e))) return false;
	if (!component_locate(&m->components[r], &m->family, r, m->given[r])) return refuse(m, r, e);
	if (r == AUTOENCODER && !latents_agree(m, e)) return false;
	return r >= FAMILY_ROLES || (family_parameters(&m->family, r, check_weight, &check, e) && !failed(e));
}

/* TAESD's width is the size of the bias of its first convolution. */
static bool open_tiny(model *m, error *e)
{
	if (!m->given_path[TINY_AUTOENCODER]) return true;
	if (!open_one(m, TINY_AUTOENCODER, e)) return false;
	if (!weights_are_finite(m->given[TINY_AUTOENCODER], e)) return false; /* its ReLUs turn NaN to 0 */
	const component *c = &m->components[TINY_AUTOENCODER];
	const weight *bias = component_find(c, &m->family, TINY_AUTOENCODER, "1.bias", shape1(1));
	if (!bias || bias->ndims != 1 || bias->shape[0] < 1 || bias->shape[0] > 65536)
		return fail(e, BAD_FILE, "%s: not a decoder of TAESD", m->given_path[TINY_AUTOENCODER]);
	m->tiny =
	    (taesd_config){ .latent_channels = m->family.autoencoder.latent_channels, .channels = (int)bias->shape[0] };
	shape s = shape4(1, 1, 1, 1);
	m->tiny.pool = component_find(c, &m->family, TINY_AUTOENCODER, "3.pool.0.weight", s) != NULL;
	return true;
}

/* ── all of them ── */

static bool place_text(model *m, const char *option, const char *path, error *e)
{
	if (!path) return true;
	for (int i = 0; i < TEXT_ENCODERS; i++) {
		const char *own = family_text_option(&m->family, i);
		if (!own || strcmp(own, option)) continue;
		m->given_path[TEXT_ENCODER + i] = strdup(path);
		return m->given_path[TEXT_ENCODER + i] || fail(e, NO_MEMORY, "out of memory");
	}
	return fail(
	    e, BAD_USAGE, "--%s %s: %s, a model of %s, has no such text encoder", option, path, m->path, m->family.name);
}

bool given_open(model *m, const sumi_model_options *o, error *e)
{
	if (!place_text(m, "clip_l", o->clip_l, e) || !place_text(m, "clip_g", o->clip_g, e) ||
	    !place_text(m, "t5xxl", o->t5xxl, e))
		return false;
	for (role r = 0; r < FAMILY_ROLES; r++)
		if (!open_one(m, r, e)) return false;
	return open_tiny(m, e);
}

bool given_leaves(const model *m, role r)
{
	return family_has(&m->family, r) && !m->given[r] && (r == AUTOENCODER || !m->autoencoder_only);
}

/* "; --vae FILE gives one" */
static void offer(const model *m, role r, char *text, size_t size)
{
	const char *option = r == AUTOENCODER    ? "vae"
	                     : r >= TEXT_ENCODER ? family_text_option(&m->family, (int)(r - TEXT_ENCODER))
	                                         : NULL;
	snprintf(text, size, "%s%s%s", option ? "; --" : "", option ? option : "", option ? " FILE gives one" : "");
}

/* All text encoders that the family has apart, as "--clip_l FILE, --clip_g FILE, --t5xxl FILE". */
static void list_apart(const family *f, char *text, size_t size)
{
	size_t at = 0;
	*text = 0;
	for (int i = 0; i < TEXT_ENCODERS && at < size; i++) {
		const char *option = family_has(f, (role)(TEXT_ENCODER + i)) ? family_text_option(f, i) : NULL;
		if (option) at += (size_t)snprintf(text + at, size - at, "%s--%s FILE", at ? ", " : "", option);
	}
}

bool given_complete(const model *m, error *e)
{
	bool any_apart = false, apart = false;
	char text[160];
	for (role r = 0; r < FAMILY_ROLES; r++) {
		bool there = m->components[r].from != NULL;
		if (!family_has(&m->family, r)) continue;
		if (family_apart(&m->family, r)) {
			apart = true;
			any_apart |= there;
		} else if (given_leaves(m, r) && !there) {
			offer(m, r, text, sizeof text);
			return fail(e, BAD_FILE, "%s: a file of %s without its %s%s", m->path, m->family.name, role_name(r), text);
		}
	}
	if (!apart || any_apart || m->autoencoder_only) return true;
	list_apart(&m->family, text, sizeof text);
	return fail(e, BAD_FILE, "%s: a file of %s without text encoders, as published; %s give them, one or more", m->path,
	    m->family.name, text);
}
