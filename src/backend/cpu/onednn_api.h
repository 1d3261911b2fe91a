/* onednn_api.h - oneDNN's C API of version 3, also where version 2 is installed. Only onednn.c includes it.
 *
 * Version 2 describes memory by a struct that is copied, and an operation by another before a primitive is described;
 * version 3 has handles for the first and nothing of the second. Below, version 2 gets the names of version 3 as far
 * as onednn.c uses them. */
#ifndef SUMI_BACKEND_CPU_ONEDNN_API_H
#define SUMI_BACKEND_CPU_ONEDNN_API_H
#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR == 2
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef const dnnl_memory_desc_t *const_dnnl_memory_desc_t;
typedef dnnl_memory_desc_t *onednn_memory_desc; /* what the next line makes of the name from here on */
#define dnnl_memory_desc_t onednn_memory_desc

#define dnnl_post_ops_append_sum dnnl_post_ops_append_sum_v3
#define dnnl_post_ops_append_eltwise(list, kind, alpha, beta) dnnl_post_ops_append_eltwise(list, 1, kind, alpha, beta)

static inline dnnl_status_t dnnl_memory_desc_clone(dnnl_memory_desc_t *d, const_dnnl_memory_desc_t from)
{
	if (!from) return dnnl_invalid_arguments;
	*d = malloc(sizeof **d);
	if (!*d) return dnnl_out_of_memory;
	**d = *from;
	return dnnl_success;
}

static inline dnnl_status_t dnnl_memory_desc_destroy(dnnl_memory_desc_t d)
{
	free(d);
	return dnnl_success;
}

static inline dnnl_status_t dnnl_memory_desc_create_with_tag(
    dnnl_memory_desc_t *d, int axes, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
	*d = malloc(sizeof **d);
	return *d ? dnnl_memory_desc_init_by_tag(*d, axes, dims, type, tag) : dnnl_out_of_memory;
}

static inline dnnl_status_t dnnl_memory_desc_create_with_strides(
    dnnl_memory_desc_t *d, int axes, const dnnl_dims_t dims, dnnl_data_type_t type, const dnnl_dims_t strides)
{
	*d = malloc(sizeof **d);
	return *d ? dnnl_memory_desc_init_by_strides(*d, axes, dims, type, strides) : dnnl_out_of_memory;
}

static inline dnnl_status_t dnnl_matmul_primitive_desc_create(dnnl_primitive_desc_t *made, dnnl_engine_t engine,
    const_dnnl_memory_desc_t a, const_dnnl_memory_desc_t b, const_dnnl_memory_desc_t bias, const_dnnl_memory_desc_t out,
    const_dnnl_primitive_attr_t attr)
{
	dnnl_matmul_desc_t d;
	dnnl_status_t failure = dnnl_matmul_desc_init(&d, a, b, bias, out);
	return failure ? failure : dnnl_primitive_desc_create(made, &d, attr, engine, NULL);
}

static inline dnnl_status_t dnnl_convolution_forward_primitive_desc_create(dnnl_primitive_desc_t *made,
    dnnl_engine_t engine, dnnl_prop_kind_t use, dnnl_alg_kind_t algorithm, const_dnnl_memory_desc_t picture,
    const_dnnl_memory_desc_t weight, const_dnnl_memory_desc_t bias, const_dnnl_memory_desc_t result,
    const dnnl_dims_t strides, const dnnl_dims_t dilates, const dnnl_dims_t before, const dnnl_dims_t behind,
    const_dnnl_primitive_attr_t attr)
{
	dnnl_convolution_desc_t d;
	dnnl_status_t failure = dnnl_dilated_convolution_forward_desc_init(
	    &d, use, algorithm, picture, weight, bias, result, strides, dilates, before, behind);
	return failure ? failure : dnnl_primitive_desc_create(made, &d, attr, engine, NULL);
}

static inline dnnl_status_t dnnl_convolution_backward_data_primitive_desc_create(dnnl_primitive_desc_t *made,
    dnnl_engine_t engine, dnnl_alg_kind_t algorithm, const_dnnl_memory_desc_t picture, const_dnnl_memory_desc_t weight,
    const_dnnl_memory_desc_t result, const dnnl_dims_t strides, const dnnl_dims_t dilates, const dnnl_dims_t before,
    const dnnl_dims_t behind, const_dnnl_primitive_desc_t forward, const_dnnl_primitive_attr_t attr)
{
	dnnl_convolution_desc_t d;
	dnnl_status_t failure = dnnl_dilated_convolution_backward_data_desc_init(
	    &d, algorithm, picture, weight, result, strides, dilates, before, behind);
	return failure ? failure : dnnl_primitive_desc_create(made, &d, attr, engine, forward);
}

/* Version 2.6's gradient by weight in AMX tiles reads outside the result where its rows have 256 pixels or more. */
static inline bool reads_outside(const_dnnl_primitive_desc_t d, const_dnnl_memory_desc_t result)
{
	const char *name = NULL;
	return result->dims[result->ndims - 1] >= 256 &&
	       dnnl_primitive_desc_query(d, dnnl_query_impl_info_str, 0, &name) == dnnl_success && strstr(name, "amx");
}

/* The first that oneDNN offers for it and that stays inside. */
static inline dnnl_status_t first_inside(dnnl_primitive_desc_t *made, const dnnl_convolution_desc_t *d,
    const_dnnl_memory_desc_t result, dnnl_engine_t engine, const_dnnl_primitive_desc_t forward,
    const_dnnl_primitive_attr_t attr)
{
	dnnl_primitive_desc_iterator_t offers;
	dnnl_status_t failure = dnnl_primitive_desc_iterator_create(&offers, d, attr, engine, forward);
	if (failure) return failure;
	*made = dnnl_primitive_desc_iterator_fetch(offers);
	while (*made && reads_outside(*made, result)) {
		dnnl_primitive_desc_destroy(*made);
		failure = dnnl_primitive_desc_iterator_next(offers);
		*made = failure ? NULL : dnnl_primitive_desc_iterator_fetch(offers);
	}
	dnnl_primitive_desc_iterator_destroy(offers);
	return *made ? dnnl_success : failure ? failure : dnnl_unimplemented;
}

static inline dnnl_status_t dnnl_convolution_backward_weights_primitive_desc_create(dnnl_primitive_desc_t *made,
    dnnl_engine_t engine, dnnl_alg_kind_t algorithm, const_dnnl_memory_desc_t picture, const_dnnl_memory_desc_t weight,
    const_dnnl_memory_desc_t bias, const_dnnl_memory_desc_t result, const dnnl_dims_t strides,
    const dnnl_dims_t dilates, const dnnl_dims_t before, const dnnl_dims_t behind, const_dnnl_primitive_desc_t forward,
    const_dnnl_primitive_attr_t attr)
{
	dnnl_convolution_desc_t d;
	dnnl_status_t failure = dnnl_dilated_convolution_backward_weights_desc_init(
	    &d, algorithm, picture, weight, bias, result, strides, dilates, before, behind);
	return failure ? failure : first_inside(made, &d, result, engine, forward, attr);
}

#elif DNNL_VERSION_MAJOR != 3
#error "onednn.c is written for oneDNN 2 and 3"
#endif
#endif
