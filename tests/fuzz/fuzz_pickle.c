/* fuzz_pickle.c - any bytes as a pickle, without the container around it; all that it builds is read. */
#include "fuzz.h"
#include "io/pickle.h"

/* Every byte and every value that can be reached, as deep as a reader would go. */
static size_t visit(const value *v, int depth, size_t budget)
{
	static volatile unsigned sum;
	if (!budget || depth > 16) return budget;
	budget--;
	if (v->kind == TEXT_VALUE || v->kind == BYTES_VALUE)
		for (size_t i = 0; i < v->length; i++) sum += (unsigned char)v->text[i];
	if (v->kind == TENSOR_VALUE) holds(v->tensor->ndims >= 0 && v->tensor->ndims <= WEIGHT_DIMS);
	if (v->kind == TENSOR_VALUE) holds(v->tensor->offset >= 0 && v->tensor->storage->kind == STORAGE_VALUE);
	if (v->kind == STORAGE_VALUE) holds(v->storage->count >= 0 && v->storage->key->kind == TEXT_VALUE);
	if (v->kind == DICT_VALUE) holds(v->count % 2 == 0);
	if (v->kind == LIST_VALUE || v->kind == TUPLE_VALUE || v->kind == DICT_VALUE)
		for (size_t i = 0; i < v->count; i++) budget = visit(v->items[i], depth + 1, budget);
	return budget;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	error e = { 0 };
	size_t used = 0;
	pickle *p = pickle_read(data, size, &used, "fuzz", &e);
	if (p) {
		holds(used <= size && !e.status);
		visit(pickle_root(p), 0, 10000);
		for (size_t i = 0; i < pickle_storage_count(p); i++) holds(pickle_storage_at(p, i)->count >= 0);
	} else {
		holds_message(&e);
	}
	pickle_free(p);
	return 0;
}
