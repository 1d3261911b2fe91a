/* no_gpu.c - a libcuda.so.1 of a machine without a GPU, for test_cuda_plans: it loads whatever program it is given and
 * runs none. cuDNN looks all of these up before it makes a plan; what Sumi looks up is among them. */
#include <stddef.h>

enum { NO_DEVICE = 100 };
static int nothing; /* what handles point to */

#define FAILS(name) \
	int name(void); \
	int name(void) { return NO_DEVICE; }
#define GIVES(name)          \
	int name(void **handle); \
	int name(void **handle)  \
	{                        \
		*handle = &nothing;  \
		return 0;            \
	}
#define GIVES_ZERO(name)  \
	int name(int *value); \
	int name(int *value)  \
	{                     \
		*value = 0;       \
		return 0;         \
	}

int cuDriverGetVersion(int *version);
int cuDriverGetVersion(int *version)
{
	*version = 13000;
	return 0;
}

int cuInit(unsigned flags);
int cuInit(unsigned flags) /* Sumi, which comes first, finds a driver; the CUDA runtime within cuDNN none that starts */
{
	static int calls;
	(void)flags;
	return calls++ ? NO_DEVICE : 0;
}

GIVES(cuLibraryLoadData)
GIVES(cuLibraryLoadFromFile)
GIVES(cuLibraryGetKernel)
GIVES_ZERO(cuKernelGetAttribute)
GIVES_ZERO(cuFuncGetAttribute)
GIVES_ZERO(cuDeviceGetCount)

FAILS(cuGetErrorString)
FAILS(cuDeviceGet)
FAILS(cuDeviceGetName)
FAILS(cuDeviceTotalMem_v2)
FAILS(cuDeviceGetAttribute)
FAILS(cuDevicePrimaryCtxRetain)
FAILS(cuCtxSetCurrent)
FAILS(cuMemGetInfo_v2)
FAILS(cuMemAlloc_v2)
FAILS(cuMemFree_v2)
FAILS(cuMemcpyHtoDAsync_v2)
FAILS(cuMemcpyDtoHAsync_v2)
FAILS(cuMemcpyDtoDAsync_v2)
FAILS(cuMemsetD8Async)
FAILS(cuStreamCreate)
FAILS(cuStreamSynchronize)
FAILS(cuMemHostAlloc)
FAILS(cuMemFreeHost)
FAILS(cuStreamWaitEvent)
FAILS(cuStreamDestroy_v2)
FAILS(cuEventCreate)
FAILS(cuEventRecord)
FAILS(cuEventQuery)
FAILS(cuEventDestroy_v2)
FAILS(cuStreamBeginCapture_v2)
FAILS(cuStreamEndCapture)
FAILS(cuGraphInstantiateWithFlags)
FAILS(cuGraphLaunch)
FAILS(cuGraphDestroy)
FAILS(cuGraphExecDestroy)
FAILS(cuModuleLoadData)
FAILS(cuModuleGetFunctionCount)
FAILS(cuModuleEnumerateFunctions)
FAILS(cuFuncGetName)
FAILS(cuFuncSetAttribute)
FAILS(cuLaunchKernel)
FAILS(cuLaunchCooperativeKernel)
FAILS(cuLinkDestroy)
FAILS(cuLinkComplete)
FAILS(cuLaunchKernelEx)
FAILS(cuGetErrorName)
FAILS(cuCtxPushCurrent)
FAILS(cuCtxPopCurrent)
FAILS(cuCtxGetLimit)
FAILS(cuStreamGetCtx)
FAILS(cuOccupancyMaxPotentialClusterSize)
FAILS(cuLinkCreate)
FAILS(cuLinkAddData)
FAILS(cuLibraryUnload)
FAILS(cuKernelSetAttribute)
FAILS(cuCtxGetCurrent)
FAILS(cuTensorMapEncodeTiled)
FAILS(cuOccupancyMaxActiveBlocksPerMultiprocessor)
FAILS(cuModuleUnload)
FAILS(cuModuleLoadFatBinary)
FAILS(cuModuleLoadDataEx)
FAILS(cuModuleGetGlobal_v2)
FAILS(cuModuleGetFunction)
FAILS(cuMemcpyDtoH_v2)
FAILS(cuLinkCreate_v2)
FAILS(cuLinkAddFile_v2)
FAILS(cuLinkAddData_v2)
FAILS(cuDevicePrimaryCtxReset)
FAILS(cuDevicePrimaryCtxRelease)
FAILS(cuCtxGetDevice)
