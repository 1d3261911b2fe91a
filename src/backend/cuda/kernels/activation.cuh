/* activation.cuh - the activations of graph.h and their slopes, in float. The numbers are those of enum activation;
 * elementwise.c checks them. */
#ifndef SUMI_BACKEND_CUDA_ACTIVATION_H
#define SUMI_BACKEND_CUDA_ACTIVATION_H
#include "backend/cuda/kernels/kernel.cuh"

enum device_activation {
	DEVICE_NONE,
	DEVICE_SILU,
	DEVICE_GELU,
	DEVICE_GELU_TANH,
	DEVICE_GELU_QUICK,
	DEVICE_RELU,
	DEVICE_LEAKY_RELU,
	DEVICE_TANH,
	DEVICE_SIGMOID,
	DEVICE_EXP,
	DEVICE_LOG,
	DEVICE_SQRT,
	DEVICE_RECIPROCAL,
	DEVICE_SQUARE,
	DEVICE_ABS,
	DEVICE_CLAMP_LOGVAR
};

DEVICE float sigmoid(float x) { return 1 / (1 + expf(-x)); }
DEVICE float normal_cdf(float x) { return 0.5f * (1 + erff(x * 0.70710678118654752f)); }
DEVICE float gelu_inner(float x) { return tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)); }

DEVICE float activation_value(int kind, float x)
{
	switch (kind) {
	case DEVICE_SILU: return x * sigmoid(x);
	case DEVICE_GELU: return x * normal_cdf(x);
	case DEVICE_GELU_TANH: return 0.5f * x * (1 + gelu_inner(x));
	case DEVICE_GELU_QUICK: return x * sigmoid(1.702f * x);
	case DEVICE_RELU: return x > 0 ? x : 0;
	case DEVICE_LEAKY_RELU: return x > 0 ? x : 0.2f * x;
	case DEVICE_TANH: return tanhf(x);
	case DEVICE_SIGMOID: return sigmoid(x);
	case DEVICE_EXP: return expf(x);
	case DEVICE_LOG: return logf(x);
	case DEVICE_SQRT: return sqrtf(x);
	case DEVICE_RECIPROCAL: return 1 / x;
	case DEVICE_SQUARE: return x * x;
	case DEVICE_ABS: return fabsf(x);
	case DEVICE_CLAMP_LOGVAR: return x < -30 ? -30 : x > 20 ? 20 : x;
	default: return x;
	}
}

DEVICE float activation_slope(int kind, float x)
{
	float s, t;
	switch (kind) {
	case DEVICE_SILU: s = sigmoid(x); return s + x * s * (1 - s);
	case DEVICE_GELU: return normal_cdf(x) + x * 0.39894228040143268f * expf(-0.5f * x * x);
	case DEVICE_GELU_TANH:
		t = gelu_inner(x);
		return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.79788456080286536f * (1 + 3 * 0.044715f * x * x);
	case DEVICE_GELU_QUICK: s = sigmoid(1.702f * x); return s + 1.702f * x * s * (1 - s);
	case DEVICE_RELU: return x > 0;
	case DEVICE_LEAKY_RELU: return x > 0 ? 1 : 0.2f;
	case DEVICE_TANH: t = tanhf(x); return 1 - t * t;
	case DEVICE_SIGMOID: s = sigmoid(x); return s * (1 - s);
	case DEVICE_EXP: return expf(x);
	case DEVICE_LOG: return 1 / x;
	case DEVICE_SQRT: return 0.5f / sqrtf(x);
	case DEVICE_RECIPROCAL: return -1 / (x * x);
	case DEVICE_SQUARE: return 2 * x;
	case DEVICE_ABS: return (x > 0) - (x < 0);
	case DEVICE_CLAMP_LOGVAR: return x >= -30 && x <= 20;
	default: return 1;
	}
}

#endif
