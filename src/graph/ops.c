/* ops.c - the table of operations. */
#include "graph/ops.h"

enum { FIRST = 1, SECOND = 2, FOURTH = 8 }; /* inputs whose memory the result may take */
enum { STATE = 0xf0 };                      /* inputs that an optimizer's step changes besides the first */

const operation operations[OPS] = {
	[NO_OP] = { "none", NULL, 0 },
	[INPUT] = { "input", NULL, 0 },
	[PARAM] = { "param", NULL, 0 },
	[FILL] = { "fill", NULL, 0 },
	[VIEW] = { "view", gradient_of_view, 0 },
	[CAST] = { "cast", gradient_of_cast, 0 },
	[ADD] = { "add", gradient_of_add, FIRST | SECOND },
	[MUL] = { "mul", gradient_of_mul, FIRST | SECOND },
	[AFFINE] = { "affine", gradient_of_affine, FIRST },
	[ACTIVATION] = { "activation", gradient_of_activation, FIRST },
	[ACTIVATION_GRAD] = { "activation_grad", NULL, FIRST | SECOND },
	[GEGLU] = { "geglu", gradient_of_geglu, 0 },
	[GEGLU_GRAD] = { "geglu_grad", NULL, 0 },
	[SUM_TO] = { "sum_to", gradient_of_sum_to, 0 },
	[SPREAD] = { "spread", gradient_of_spread, 0 },
	[PERMUTE] = { "permute", gradient_of_permute, 0 },
	[SLICE] = { "slice", gradient_of_slice, 0 },
	[PAD] = { "pad", gradient_of_pad, 0 },
	[CONCAT] = { "concat", gradient_of_concat, 0 },
	[RESIZE] = { "resize", gradient_of_resize, 0 },
	[RESIZE_GRAD] = { "resize_grad", NULL, 0 },
	[POOL] = { "pool", gradient_of_pool, 0 },
	[POOL_GRAD] = { "pool_grad", NULL, 0 },
	[MATMUL] = { "matmul", gradient_of_matmul, FOURTH },
	[CONV] = { "conv", gradient_of_conv, FOURTH },
	[CONV_DX] = { "conv_dx", NULL, 0 },
	[CONV_DW] = { "conv_dw", NULL, 0 },
	[GROUP_NORM] = { "group_norm", gradient_of_group_norm, FIRST },
	[GROUP_NORM_DX] = { "group_norm_dx", NULL, 0 },
	[GROUP_NORM_SUMS] = { "group_norm_sums", NULL, 0 },
	[LAYER_NORM] = { "layer_norm", gradient_of_layer_norm, FIRST },
	[LAYER_NORM_DX] = { "layer_norm_dx", NULL, 0 },
	[LAYER_NORM_DW] = { "layer_norm_dw", NULL, 0 },
	[RMS_NORM] = { "rms_norm", gradient_of_rms_norm, FIRST },
	[RMS_NORM_DX] = { "rms_norm_dx", NULL, 0 },
	[RMS_NORM_DW] = { "rms_norm_dw", NULL, 0 },
	[ATTENTION] = { "attention", gradient_of_attention, 0 },
	[ATTENTION_GRAD] = { "attention_grad", NULL, 0 },
	[EMBEDDING] = { "embedding", gradient_of_embedding, 0 },
	[EMBEDDING_GRAD] = { "embedding_grad", NULL, 0 },
	[RELATIVE_BUCKETS] = { "relative_buckets", NULL, 0 },
	[TIMESTEP_EMBEDDING] = { "timestep_embedding", NULL, 0 },
	[SUM_SQUARES] = { "sum_squares", NULL, 0 },
	[CLIP_SCALE] = { "clip_scale", NULL, 0 },
	[ACCUMULATE] = { "accumulate", .writes = FIRST },
	[UPDATE_SGD] = { "update_sgd", .writes = FIRST | STATE },
	[UPDATE_ADAMW] = { "update_adamw", .writes = FIRST | STATE },
	[UPDATE_ADAMW_8BIT] = { "update_adamw_8bit", .writes = FIRST | STATE },
	[UPDATE_ADAFACTOR] = { "update_adafactor", .writes = FIRST | STATE },
	[COPY] = { "copy", NULL, 0 },
};

const char *activation_name(activation a)
{
	static const char *const names[ACTIVATIONS] = { "none", "silu", "gelu", "gelu_tanh", "gelu_quick", "relu",
		"leaky_relu", "tanh", "sigmoid", "exp", "log", "sqrt", "reciprocal", "square", "abs", "clamp_logvar" };
	return a < ACTIVATIONS ? names[a] : "unknown";
}
