/* elementwise.cu - each result from the same place of the inputs. A result may lie where an input lies: a thread reads
 * an element before it writes it, and no other thread reads it. */
#include "backend/cuda/kernels/activation.cuh"

/* ── ADD and MUL: the second input may be broadcast ── */

template <class T> DEVICE T combine(int multiply, T a, T b)
{
	return narrow<T>(multiply ? widen(a) * widen(b) : widen(a) + widen(b));
}

/* Where element (or pack) i of the result reads the smaller input. */
DEVICE size_t broadcast_index(const binary_params &p, uint32_t i)
{
	uint32_t k3 = i % p.d[3], k2 = i / p.d[3];
	uint32_t k1 = k2 / p.d[2], k0 = k1 / p.d[1];
	k2 %= p.d[2], k1 %= p.d[1];
	return (size_t)k0 * p.step[0] + (size_t)k1 * p.step[1] + (size_t)k2 * p.step[2] + (size_t)k3 * p.step[3];
}

template <class T> DEVICE void binary_body(const binary_params &p)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) {
		size_t j = p.same ? i : broadcast_index(p, (uint32_t)i);
		if (!p.packs) {
			((T *)p.y)[i] = combine(p.multiply, ((const T *)p.a)[i], ((const T *)p.b)[j]);
			continue;
		}
		pack<T> a = ((const pack<T> *)p.a)[i], b;
		if (p.same || p.step[3])
			b = ((const pack<T> *)p.b)[j];
		else
			UNROLL for (int k = 0; k < pack<T>::COUNT; k++) b.v[k] = ((const T *)p.b)[j];
		UNROLL for (int k = 0; k < pack<T>::COUNT; k++) a.v[k] = combine(p.multiply, a.v[k], b.v[k]);
		((pack<T> *)p.y)[i] = a;
	}
}
KERNELS(binary, binary_params)

/* ── AFFINE, ACTIVATION, ACTIVATION_GRAD ── */

template <class T, class F> DEVICE void map(const unary_params &p, F f)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) {
		if (!p.packs) {
			((T *)p.y)[i] = narrow<T>(f(widen(((const T *)p.x)[i])));
			continue;
		}
		pack<T> x = ((const pack<T> *)p.x)[i];
		UNROLL for (int k = 0; k < pack<T>::COUNT; k++) x.v[k] = narrow<T>(f(widen(x.v[k])));
		((pack<T> *)p.y)[i] = x;
	}
}

struct affine_map {
	float factor, shift;
	DEVICE_METHOD float operator()(float x) const { return factor * x + shift; }
};
template <class T> DEVICE void affine_body(const unary_params &p) { map<T>(p, affine_map{ p.factor, p.shift }); }
KERNELS(affine, unary_params)

struct activation_map {
	int kind;
	DEVICE_METHOD float operator()(float x) const { return activation_value(kind, x); }
};
template <class T> DEVICE void activation_body(const unary_params &p) { map<T>(p, activation_map{ p.activation }); }
KERNELS(activation, unary_params)

template <class T> DEVICE void activation_grad_body(const unary_params &p)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) {
		if (!p.packs) {
			float slope = activation_slope(p.activation, widen(((const T *)p.x)[i]));
			((T *)p.y)[i] = narrow<T>(widen(((const T *)p.dy)[i]) * slope);
			continue;
		}
		pack<T> x = ((const pack<T> *)p.x)[i], dy = ((const pack<T> *)p.dy)[i];
		UNROLL for (int k = 0; k < pack<T>::COUNT; k++) x.v[k] =
		    narrow<T>(widen(dy.v[k]) * activation_slope(p.activation, widen(x.v[k])));
		((pack<T> *)p.y)[i] = x;
	}
}
KERNELS(activation_grad, unary_params)

/* ── GEGLU ── */

template <class T> DEVICE T gated(T value, T gate)
{
	return narrow<T>(widen(value) * activation_value(DEVICE_GELU, widen(gate)));
}

template <class T> DEVICE void geglu_body(const geglu_params &p)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) {
		size_t value = i + i / p.width * p.width, gate = value + p.width;
		if (!p.packs) {
			((T *)p.y)[i] = gated(((const T *)p.x)[value], ((const T *)p.x)[gate]);
			continue;
		}
		pack<T> v = ((const pack<T> *)p.x)[value], g = ((const pack<T> *)p.x)[gate];
		UNROLL for (int k = 0; k < pack<T>::COUNT; k++) v.v[k] = gated(v.v[k], g.v[k]);
		((pack<T> *)p.y)[i] = v;
	}
}
KERNELS(geglu, geglu_params)

/* value and gate become their gradients */
template <class T> DEVICE void gate_gradient(T *value, T *gate, T dy)
{
	float v = widen(*value), g = widen(*gate), d = widen(dy);
	*value = narrow<T>(d * activation_value(DEVICE_GELU, g));
	*gate = narrow<T>(d * v * activation_slope(DEVICE_GELU, g));
}

template <class T> DEVICE void geglu_grad_body(const geglu_params &p)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) {
		size_t value = i + i / p.width * p.width, gate = value + p.width;
		if (!p.packs) {
			T v = ((const T *)p.x)[value], g = ((const T *)p.x)[gate];
			gate_gradient(&v, &g, ((const T *)p.dy)[i]);
			((T *)p.y)[value] = v, ((T *)p.y)[gate] = g;
			continue;
		}
		pack<T> v = ((const pack<T> *)p.x)[value], g = ((const pack<T> *)p.x)[gate], d = ((const pack<T> *)p.dy)[i];
		UNROLL for (int k = 0; k < pack<T>::COUNT; k++) gate_gradient(&v.v[k], &g.v[k], d.v[k]);
		((pack<T> *)p.y)[value] = v, ((pack<T> *)p.y)[gate] = g;
	}
}
KERNELS(geglu_grad, geglu_params)

/* ── what follows a product whose library has no epilogue for it: bias, residual, activation ── */

template <class T, int W> DEVICE void finish(const finish_params &p)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) {
		size_t at = i * W, column = i % p.columns * W;
		values<W> y = p.narrow ? load<bf16, W>(p.x, at) : load<T, W>(p.x, at), r = y;
		if (p.residual) r = load<T, W>(p.residual, at);
		UNROLL for (int k = 0; k < W; k++)
		{
			if (p.bias) y.v[k] += p.bias[column + k];
			if (p.residual) y.v[k] += r.v[k];
			y.v[k] = activation_value(p.activation, y.v[k]);
		}
		store<T, W>(p.y, at, y);
	}
}

template <class T> DEVICE void finish_body(const finish_params &p)
{
	if (p.packs)
		finish<T, pack<T>::COUNT>(p);
	else
		finish<T, 1>(p);
}
KERNELS(finish, finish_params)

/* ── CAST, FILL ── */

KERNEL(cast, cast_params)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) store_as(p.y, i, p.to, load_as(p.x, i, p.from));
}

KERNEL(fill_4, fill_params)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) ((uint32_t *)p.y)[i] = p.value;
}

KERNEL(fill_2, fill_params)
{
	for (size_t i = first_index(); i < p.n; i += all_threads()) ((uint16_t *)p.y)[i] = (uint16_t)p.value;
}
