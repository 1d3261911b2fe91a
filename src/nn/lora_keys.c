/* lora_keys.c - how the tools spell the parts of an adapter: a key is a module's name and one of these endings. */
#include "nn/lora_parts.h"
#include <string.h>

static const struct {
	const char *ending; /* a star is one name without dots: PEFT's name of the adapter, mostly "default" */
	lora_part part;
} endings[] = {
	{ ".alpha", ALPHA }, { ".lora_down.weight", DOWN },                                 /* kohya */
	{ ".lora_up.weight", UP }, { ".lora_mid.weight", MID }, { ".lora_A.weight", DOWN }, /* PEFT */
	{ ".lora_B.weight", UP }, { ".lora_A.*.weight", DOWN }, { ".lora_B.*.weight", UP },
	{ ".lora.down.weight", DOWN },                                         /* diffusers, */
	{ ".lora.up.weight", UP }, { "_lora.down.weight", DOWN },              /* its attention processors, */
	{ "_lora.up.weight", UP }, { ".lora_linear_layer.down.weight", DOWN }, /* and its text encoder */
	{ ".lora_linear_layer.up.weight", UP }, { ":down", DOWN },             /* cloneofsimo */
	{ ":up", UP }, { ".dora_scale", DORA_SCALE }, { ".lora_magnitude_vector", MAGNITUDE },
	{ ".lora_magnitude_vector.weight", MAGNITUDE }, { ".lora_magnitude_vector.*.weight", MAGNITUDE },
	{ ".lora_magnitude_vector.*", MAGNITUDE }, { ".hada_w1_a", HADA_W1_A }, /* LyCORIS */
	{ ".hada_w1_b", HADA_W1_B }, { ".hada_w2_a", HADA_W2_A }, { ".hada_w2_b", HADA_W2_B }, { ".hada_t1", HADA_T1 },
	{ ".hada_t2", HADA_T2 }, { ".lokr_w1", LOKR_W1 }, { ".lokr_w1_a", LOKR_W1_A }, { ".lokr_w1_b", LOKR_W1_B },
	{ ".lokr_w2", LOKR_W2 }, { ".lokr_w2_a", LOKR_W2_A }, { ".lokr_w2_b", LOKR_W2_B }, { ".lokr_t2", LOKR_T2 },
	{ ".a1.weight", GLORA_A1 }, { ".a2.weight", GLORA_A2 }, { ".b1.weight", GLORA_B1 }, { ".b2.weight", GLORA_B2 },
	{ ".oft_blocks", OFT_BLOCKS }, { ".rescale", RESCALE }, { ".diff", DIFF }, { ".diff_b", DIFF_BIAS },
	{ ".w_norm", DIFF }, { ".b_norm", DIFF_BIAS }, { ".on_input", ON_INPUT },
	{ ".weight", IA3_WEIGHT }, /* last: many of the others end in it */
};

/* The length of what stands before the ending; 0: the key does not end so. */
static size_t before(const char *key, const char *ending)
{
	size_t n = strlen(key), m = strlen(ending);
	const char *star = strchr(ending, '*');
	if (!star) return n > m && !strcmp(key + n - m, ending) ? n - m : 0;
	size_t tail = strlen(star + 1), head = (size_t)(star - ending);
	if (n <= tail || strcmp(key + n - tail, star + 1)) return 0;
	size_t at = n - tail;
	while (at && key[at - 1] != '.') at--;
	bool named = at < n - tail && at > head && !memcmp(key + at - head, ending, head);
	return named ? at - head : 0;
}

lora_part lora_part_of(const char *key, size_t *module)
{
	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
		if ((*module = before(key, endings[i].ending))) return endings[i].part;
	return LORA_PARTS;
}
