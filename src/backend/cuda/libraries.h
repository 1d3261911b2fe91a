/* libraries.h - NVIDIA's libraries, found when the program runs: the driver, cuBLASLt, cuDNN and NCCL. One program
 * serves machines with and without them, and is built without their headers: the few declarations that we need stand
 * here, as the documentation of each library has them (CUDA driver API 12.4 and later, cuBLASLt 12 and 13, cuDNN 9,
 * NCCL 2.18 and later). */
#ifndef SUMI_BACKEND_CUDA_LIBRARIES_H
#define SUMI_BACKEND_CUDA_LIBRARIES_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

/* ── the driver ── */

typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;
typedef unsigned long long CUdeviceptr;

enum {
	CU_OUT_OF_MEMORY = 2, /* CUresult */
	CU_NOT_READY = 600,
	CU_CAPABILITY_MAJOR = 75, /* CUdevice_attribute */
	CU_CAPABILITY_MINOR = 76,
	CU_DYNAMIC_SHARED = 8,       /* CUfunction_attribute: the most that a launch may ask for */
	CU_STREAM_NON_BLOCKING = 1,  /* CUstream_flags */
	CU_EVENT_WITHOUT_TIME = 2,   /* CUevent_flags */
	CU_CAPTURE_THREAD_LOCAL = 1, /* CUstreamCaptureMode */
};

/* Each: name in the table, symbol, parameters. All return a CUresult, 0 for success. */
#define DRIVER_FUNCTIONS(F)                                                                                            \
	F(init, "cuInit", (unsigned flags))                                                                                \
	F(error_string, "cuGetErrorString", (int result, const char **text))                                               \
	F(device_count, "cuDeviceGetCount", (int *count))                                                                  \
	F(device_get, "cuDeviceGet", (int *device, int ordinal))                                                           \
	F(device_name, "cuDeviceGetName", (char *name, int length, int device))                                            \
	F(device_memory, "cuDeviceTotalMem_v2", (size_t * bytes, int device))                                              \
	F(device_attribute, "cuDeviceGetAttribute", (int *value, int attribute, int device))                               \
	F(context_retain, "cuDevicePrimaryCtxRetain", (CUcontext * context, int device))                                   \
	F(context_set, "cuCtxSetCurrent", (CUcontext context))                                                             \
	F(memory_info, "cuMemGetInfo_v2", (size_t * available, size_t * whole))                                            \
	F(alloc, "cuMemAlloc_v2", (CUdeviceptr * to, size_t bytes))                                                        \
	F(free, "cuMemFree_v2", (CUdeviceptr p))                                                                           \
	F(host_alloc, "cuMemHostAlloc", (void **to, size_t bytes, unsigned flags))                                         \
	F(host_free, "cuMemFreeHost", (void *p))                                                                           \
	F(upload, "cuMemcpyHtoDAsync_v2", (CUdeviceptr to, const void *from, size_t bytes, CUstream stream))               \
	F(download, "cuMemcpyDtoHAsync_v2", (void *to, CUdeviceptr from, size_t bytes, CUstream stream))                   \
	F(copy, "cuMemcpyDtoDAsync_v2", (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream))                 \
	F(set, "cuMemsetD8Async", (CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream))                    \
	F(stream_create, "cuStreamCreate", (CUstream * stream, unsigned flags))                                            \
	F(stream_sync, "cuStreamSynchronize", (CUstream stream))                                                           \
	F(stream_wait, "cuStreamWaitEvent", (CUstream stream, CUevent event, unsigned flags))                              \
	F(stream_destroy, "cuStreamDestroy_v2", (CUstream stream))                                                         \
	F(event_create, "cuEventCreate", (CUevent * event, unsigned flags))                                                \
	F(event_record, "cuEventRecord", (CUevent event, CUstream stream))                                                 \
	F(event_query, "cuEventQuery", (CUevent event))                                                                    \
	F(event_destroy, "cuEventDestroy_v2", (CUevent event))                                                             \
	F(capture_begin, "cuStreamBeginCapture_v2", (CUstream stream, int mode))                                           \
	F(capture_end, "cuStreamEndCapture", (CUstream stream, CUgraph * graph))                                           \
	F(graph_instantiate, "cuGraphInstantiateWithFlags", (CUgraphExec * made, CUgraph graph, unsigned long long flags)) \
	F(graph_launch, "cuGraphLaunch", (CUgraphExec made, CUstream stream))                                              \
	F(graph_destroy, "cuGraphDestroy", (CUgraph graph))                                                                \
	F(graph_exec_destroy, "cuGraphExecDestroy", (CUgraphExec made))                                                    \
	F(module_load, "cuModuleLoadData", (CUmodule * module, const void *image))                                         \
	F(module_count, "cuModuleGetFunctionCount", (unsigned *count, CUmodule module))                                    \
	F(module_functions, "cuModuleEnumerateFunctions", (CUfunction * list, unsigned count, CUmodule module))            \
	F(function_name, "cuFuncGetName", (const char **name, CUfunction function))                                        \
	F(function_set, "cuFuncSetAttribute", (CUfunction function, int attribute, int value))                             \
	F(launch, "cuLaunchKernel",                                                                                        \
	    (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,   \
	        unsigned block_z, unsigned shared, CUstream stream, void **parameters, void **extra))

/* ── cuBLASLt ── */

typedef struct lt_heuristic { /* cublasLtMatmulHeuristicResult_t */
	uint64_t algorithm[8];
	size_t workspace;
	int state;
	float waves;
	int reserved[4];
} lt_heuristic;

enum {
	LT_ALLOCATION_FAILED = 3, /* cublasStatus_t */
	LT_COMPUTE_F32 = 68,      /* cublasComputeType_t */
	LT_F32 = 0,               /* cudaDataType */
	LT_BF16 = 14,
	LT_TRANSPOSE_A = 3, /* cublasLtMatmulDescAttributes_t */
	LT_TRANSPOSE_B = 4,
	LT_EPILOGUE = 7,
	LT_BIAS_POINTER = 8,
	LT_WORKSPACE_BYTES = 1, /* cublasLtMatmulPreferenceAttributes_t */
	LT_REDUCTIONS = 3,      /* which may join a sum that was split */
	LT_REDUCE_IN_COMPUTE_TYPE = 2,
	LT_ALIGNMENT_A = 5, /* … B, C, D follow */
	LT_EPILOGUE_DEFAULT = 1,
	LT_EPILOGUE_BIAS = 4,
	LT_EPILOGUE_GELU_TANH = 32, /* its GELU is the approximation by tanh */
	LT_EPILOGUE_GELU_TANH_BIAS = 36,
};

/* All return a cublasStatus_t, 0 for success. */
#define LT_FUNCTIONS(F)                                                                                             \
	F(create, "cublasLtCreate", (void **handle))                                                                    \
	F(desc_create, "cublasLtMatmulDescCreate", (void **desc, int compute, int scale))                               \
	F(desc_destroy, "cublasLtMatmulDescDestroy", (void *desc))                                                      \
	F(desc_set, "cublasLtMatmulDescSetAttribute", (void *desc, int what, const void *value, size_t bytes))          \
	F(layout_create, "cublasLtMatrixLayoutCreate",                                                                  \
	    (void **layout, int type, uint64_t rows, uint64_t columns, int64_t stride))                                 \
	F(layout_destroy, "cublasLtMatrixLayoutDestroy", (void *layout))                                                \
	F(preference_create, "cublasLtMatmulPreferenceCreate", (void **preference))                                     \
	F(preference_destroy, "cublasLtMatmulPreferenceDestroy", (void *preference))                                    \
	F(preference_set, "cublasLtMatmulPreferenceSetAttribute",                                                       \
	    (void *preference, int what, const void *value, size_t bytes))                                              \
	F(heuristic, "cublasLtMatmulAlgoGetHeuristic",                                                                  \
	    (void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference, int wanted,                \
	        lt_heuristic *found, int *count))                                                                       \
	F(matmul, "cublasLtMatmul",                                                                                     \
	    (void *handle, void *desc, const void *alpha, const void *a, void *layout_a, const void *b, void *layout_b, \
	        const void *beta, const void *c, void *layout_c, void *d, void *layout_d, const void *algorithm,        \
	        void *workspace, size_t workspace_bytes, CUstream stream))

/* ── cuDNN's backend: descriptors with attributes ── */

/* All return a cudnnStatus_t, 0 for success. */
#define DNN_FUNCTIONS(F)                                                                                            \
	F(create, "cudnnCreate", (void **handle))                                                                       \
	F(stream_set, "cudnnSetStream", (void *handle, CUstream stream))                                                \
	F(make, "cudnnBackendCreateDescriptor", (int type, void **descriptor))                                          \
	F(destroy, "cudnnBackendDestroyDescriptor", (void *descriptor))                                                 \
	F(finalize, "cudnnBackendFinalize", (void *descriptor))                                                         \
	F(set, "cudnnBackendSetAttribute", (void *descriptor, int name, int type, int64_t count, const void *elements)) \
	F(get, "cudnnBackendGetAttribute",                                                                              \
	    (void *descriptor, int name, int type, int64_t wanted, int64_t *count, void *elements))                     \
	F(execute, "cudnnBackendExecute", (void *handle, void *plan, void *variant))

/* ── NCCL ── */

typedef struct nccl_id { /* ncclUniqueId */
	char bytes[128];
} nccl_id;

enum { NCCL_FLOAT = 7, NCCL_SUM = 0 }; /* ncclDataType_t, ncclRedOp_t */

/* All but error_string return an ncclResult_t, 0 for success. */
#define NCCL_FUNCTIONS(F)                                                                                 \
	F(get_id, "ncclGetUniqueId", (nccl_id * id))                                                          \
	F(join, "ncclCommInitRank", (void **comm, int size, nccl_id id, int rank))                            \
	F(leave, "ncclCommDestroy", (void *comm))                                                             \
	F(abort, "ncclCommAbort", (void *comm))                                                               \
	F(group_start, "ncclGroupStart", (void))                                                              \
	F(group_end, "ncclGroupEnd", (void))                                                                  \
	F(sum, "ncclAllReduce",                                                                               \
	    (const void *from, void *to, size_t count, int type, int operation, void *comm, CUstream stream)) \
	F(share, "ncclBroadcast",                                                                             \
	    (const void *from, void *to, size_t count, int type, int holder, void *comm, CUstream stream))

#define MEMBER(name, symbol, parameters) int(*name) parameters;
typedef struct driver_functions {
	DRIVER_FUNCTIONS(MEMBER)
} driver_functions;
typedef struct lt_functions {
	LT_FUNCTIONS(MEMBER)
} lt_functions;
typedef struct dnn_functions {
	DNN_FUNCTIONS(MEMBER)
} dnn_functions;
typedef struct nccl_functions {
	NCCL_FUNCTIONS(MEMBER)
	const char *(*error_string)(int result);
} nccl_functions;
#undef MEMBER

typedef struct cuda_libraries {
	const driver_functions *driver; /* NULL: not found, or too old */
	const lt_functions *lt;
	const dnn_functions *dnn;
	const nccl_functions *nccl; /* looked for by cuda_nccl_find() alone */
	int driver_version;         /* 13000: CUDA 13.0 */
	size_t lt_version;          /* as cublasLtGetVersion() gives it */
	size_t dnn_version;         /* 91900: 9.19.0 */
	int nccl_version;           /* 22809: 2.28.9 */
	char driver_problem[256];   /* one line each, "" where there is none */
	char lt_problem[256];
	char dnn_problem[256];
	char nccl_problem[256];
} cuda_libraries;

/* Looked for once, by the loader's own rules and then in the folders of the environment variable SUMI_CUDA_PATH (joined
 * by ':'), where set. Never fails: what is missing says so in its line. */
const cuda_libraries *cuda_libraries_find(void);
/* The same with NCCL, which is large, and of use to several processes alone. */
const cuda_libraries *cuda_nccl_find(void);

#endif
