/* lora_parts.h - what a file's adapters are made of; shared by nn/lora*.c alone. An adapter is one module's parts: the
 * factors by which its weight changes. Which parts there are says which kind it is (lora_kinds.c). */
#ifndef SUMI_NN_LORA_PARTS_H
#define SUMI_NN_LORA_PARTS_H
#include "nn/lora.h"

typedef enum lora_part {
	ALPHA, /* the change is scaled by alpha/rank; of OFT, the limit of how far it may turn */
	DOWN,  /* LoRA: [rank,in,…] */
	UP,    /* [out,rank] */
	MID,   /* [rank,rank,height,width], of a Tucker decomposition */
	DORA_SCALE,
	MAGNITUDE, /* the same, as PEFT has it */
	HADA_W1_A, /* LoHa: a product of two low ranks, element by element */
	HADA_W1_B,
	HADA_W2_A,
	HADA_W2_B,
	HADA_T1,
	HADA_T2,
	LOKR_W1, /* LoKr: a Kronecker product */
	LOKR_W1_A,
	LOKR_W1_B,
	LOKR_W2,
	LOKR_W2_A,
	LOKR_W2_B,
	LOKR_T2,
	GLORA_A1, /* GLoRA: W·a1·a2 + b1·b2 */
	GLORA_A2,
	GLORA_B1,
	GLORA_B2,
	IA3_WEIGHT, /* (IA)³: a factor for each output, or input where ON_INPUT is not 0 */
	ON_INPUT,
	OFT_BLOCKS, /* OFT [blocks,size,size]; BOFT [stages,blocks,size,size] */
	RESCALE,    /* … and a factor for each output */
	DIFF,       /* the change itself */
	DIFF_BIAS,
	ROTATION, /* made from OFT_BLOCKS: lora_rotation.c */
	LORA_PARTS
} lora_part;

typedef struct lora_factor {
	dtype dtype;
	shape shape;
	const void *data; /* NULL: the module has no such part */
} lora_factor;

typedef struct lora_kind lora_kind;

typedef struct adapter {
	char *module; /* as the file spells it */
	lora_factor part[LORA_PARTS];
	bool alpha_told;   /* by something else than a tensor: then it is */
	float alpha;       /* this, */
	bool root_of_rank; /* and the scale alpha/√rank: rsLoRA, arXiv 2312.03732 */
	/* Set when it is resolved: */
	char *weight, *bias;   /* what it changes; NULL: nothing */
	const lora_kind *kind; /* of the change of the weight */
	shape shape;           /* of the whole weight */
	int first, rows;       /* of its first axis */
	bool swapped;          /* the halves of its rows are exchanged in the file */
	int in, area;          /* its second axis, and the rest: a weight of one axis has 1 and 1 */
	float share;           /* factor of the set's strength */
	float *rotation;       /* [stages·rows,band]: see lora_rotation.c */
} adapter;

/* lora_keys.c: which part a key names; *module is the length of what stands before. LORA_PARTS: none. */
lora_part lora_part_of(const char *key, size_t *module);

/* lora_kinds.c: the kind of the adapter's change, if its parts are all there and fit a->rows, a->in and a->area. */
const lora_kind *lora_kind_of(const adapter *a);
bool lora_turns(const lora_kind *k); /* OFT or BOFT: needs lora_rotate(). NULL is none */
int lora_rank_of(const adapter *a);  /* 0: it is of no low rank */
/* W [rows,in,area] in full precision, changed; parameters are named "<name>.lora.<set>.<index>.<part>". */
tensor lora_change(graph *g, const adapter *a, float strength, const char *name, int set, int index, tensor w);
const char *lora_part_name(lora_part p);

/* lora_rotation.c: sets a->rotation from OFT_BLOCKS. */
bool lora_rotate(adapter *a, error *e);

#endif
