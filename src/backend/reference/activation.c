/* activation.c - values and slopes of the activations, in double. */
#include "backend/reference/activation.h"
#include <math.h>

static const double sqrt_half = 0.70710678118654752440;         /* 1/√2 */
static const double sqrt_two_over_pi = 0.79788456080286535588;  /* √(2/π) */
static const double one_over_sqrt_tau = 0.39894228040143267794; /* 1/√(2π) */
static const double cubic = 0.044715;                           /* Hendrycks & Gimpel 2016, arXiv:1606.08415 */
static const double quick = 1.702;                              /* the same paper's sigmoid form */
static const double leak = 0.2;
static const double lowest_logvar = -30, highest_logvar = 20;

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double normal_cdf(double x) { return 0.5 * (1 + erf(x * sqrt_half)); }
static double gelu_tanh_inner(double x) { return tanh(sqrt_two_over_pi * (x + cubic * x * x * x)); }

static double value(activation a, double x)
{
	switch (a) {
	case SILU: return x * sigmoid(x);
	case GELU: return x * normal_cdf(x);
	case GELU_TANH: return 0.5 * x * (1 + gelu_tanh_inner(x));
	case GELU_QUICK: return x * sigmoid(quick * x);
	case RELU: return x > 0 ? x : 0;
	case LEAKY_RELU: return x > 0 ? x : leak * x;
	case TANH: return tanh(x);
	case SIGMOID: return sigmoid(x);
	case EXP: return exp(x);
	case LOG: return log(x);
	case SQRT: return sqrt(x);
	case RECIPROCAL: return 1 / x;
	case SQUARE: return x * x;
	case ABS: return fabs(x);
	case CLAMP_LOGVAR: return x < lowest_logvar ? lowest_logvar : x > highest_logvar ? highest_logvar : x;
	default: return x;
	}
}

static double slope(activation a, double x)
{
	double s, t;
	switch (a) {
	case SILU: s = sigmoid(x); return s + x * s * (1 - s);
	case GELU: return normal_cdf(x) + x * one_over_sqrt_tau * exp(-0.5 * x * x);
	case GELU_TANH:
		t = gelu_tanh_inner(x);
		return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt_two_over_pi * (1 + 3 * cubic * x * x);
	case GELU_QUICK: s = sigmoid(quick * x); return s + quick * x * s * (1 - s);
	case RELU: return x > 0;
	case LEAKY_RELU: return x > 0 ? 1 : leak;
	case TANH: t = tanh(x); return 1 - t * t;
	case SIGMOID: s = sigmoid(x); return s * (1 - s);
	case EXP: return exp(x);
	case LOG: return 1 / x;
	case SQRT: return 0.5 / sqrt(x);
	case RECIPROCAL: return -1 / (x * x);
	case SQUARE: return 2 * x;
	case ABS: return (x > 0) - (x < 0);
	case CLAMP_LOGVAR: return x >= lowest_logvar && x <= highest_logvar;
	default: return 1;
	}
}

real activation_value(activation a, real x) { return (real)value(a, (double)x); }
real activation_slope(activation a, real x) { return (real)slope(a, (double)x); }
