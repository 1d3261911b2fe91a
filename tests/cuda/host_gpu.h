/* host_gpu.h - the CUDA backend on the host: its rows and kernels over the shim, on the device that keeps books. */
#ifndef SUMI_TESTS_CUDA_HOST_GPU_H
#define SUMI_TESTS_CUDA_HOST_GPU_H
#include "host_device.h"

const backend *backend_host_gpu(void);

#endif
