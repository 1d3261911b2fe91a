/* libraries.c - finds NVIDIA's libraries when the program runs, and checks their versions. */
#include "backend/cuda/libraries.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OLDEST_DRIVER = 12040, OLDEST_DNN = 90000, OLDEST_NCCL = 21800 };

static driver_functions driver;
static lt_functions lt;
static dnn_functions dnn;
static nccl_functions nccl;
static cuda_libraries found;

/* The loader's own places first, then the folders of SUMI_CUDA_PATH. */
static void *open_library(const char *name)
{
	void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	const char *list = getenv("SUMI_CUDA_PATH");
	while (!library && list && *list) {
		char path[4096];
		size_t length = strcspn(list, ":");
		snprintf(path, sizeof path, "%.*s/%s", (int)length, list, name);
		library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		list += length + (list[length] == ':');
	}
	return library;
}

static void *open_any(const char *const *names, char *problem, size_t room, const char *what)
{
	for (int i = 0; names[i]; i++) {
		void *library = open_library(names[i]);
		if (library) return library;
	}
	snprintf(problem, room, "%s is not installed (%s)", what, names[0]);
	return NULL;
}

/* Reads a symbol into a pointer to a function: ISO C has no cast for it. */
static bool read_symbol(void *library, const char *symbol, void *to)
{
	void *at = dlsym(library, symbol);
	memcpy(to, &at, sizeof at);
	return at != NULL;
}

typedef struct symbol {
	const char *name;
	size_t offset; /* of its pointer in the table */
} symbol;

static bool read_table(
    void *library, const symbol *list, size_t n, void *table, char *problem, size_t room, const char *what)
{
	for (size_t i = 0; i < n; i++)
		if (!read_symbol(library, list[i].name, (char *)table + list[i].offset)) {
			snprintf(problem, room, "%s is too old: it has no %s", what, list[i].name);
			return false;
		}
	return true;
}

#define DRIVER_SYMBOL(member, symbol, parameters) { symbol, offsetof(driver_functions, member) },
#define LT_SYMBOL(member, symbol, parameters) { symbol, offsetof(lt_functions, member) },
#define DNN_SYMBOL(member, symbol, parameters) { symbol, offsetof(dnn_functions, member) },
#define NCCL_SYMBOL(member, symbol, parameters) { symbol, offsetof(nccl_functions, member) },
static const symbol driver_symbols[] = { DRIVER_FUNCTIONS(DRIVER_SYMBOL) };
static const symbol lt_symbols[] = { LT_FUNCTIONS(LT_SYMBOL) };
static const symbol dnn_symbols[] = { DNN_FUNCTIONS(DNN_SYMBOL) };
static const symbol nccl_symbols[] = { NCCL_FUNCTIONS(NCCL_SYMBOL){
	"ncclGetErrorString", offsetof(nccl_functions, error_string) } };

static void find_driver(void)
{
	static const char *const names[] = { "libcuda.so.1", NULL };
	char *problem = found.driver_problem;
	size_t room = sizeof found.driver_problem;
	int (*version)(int *);
	void *library = open_any(names, problem, room, "NVIDIA's driver");
	if (!library) return;
	if (read_symbol(library, "cuDriverGetVersion", &version)) version(&found.driver_version);
	if (found.driver_version < OLDEST_DRIVER) {
		snprintf(problem, room, "NVIDIA's driver is for CUDA %d.%d, and 12.4 is the oldest that will do",
		    found.driver_version / 1000, found.driver_version % 1000 / 10);
		return;
	}
	if (!read_table(library, driver_symbols, sizeof driver_symbols / sizeof *driver_symbols, &driver, problem, room,
	        "NVIDIA's driver"))
		return;
	int code = driver.init(0);
	const char *text = NULL;
	if (code) driver.error_string(code, &text);
	if (code)
		snprintf(problem, room, "NVIDIA's driver does not start: %s (error %d)", text ? text : "unknown", code);
	else
		found.driver = &driver;
}

static void find_lt(void)
{
	static const char *const names[] = { "libcublasLt.so.13", "libcublasLt.so.12", NULL };
	char *problem = found.lt_problem;
	size_t (*version)(void);
	void *library = open_any(names, problem, sizeof found.lt_problem, "cuBLASLt");
	if (!library || !read_table(library, lt_symbols, sizeof lt_symbols / sizeof *lt_symbols, &lt, problem,
	                    sizeof found.lt_problem, "cuBLASLt"))
		return;
	if (read_symbol(library, "cublasLtGetVersion", &version)) found.lt_version = version();
	found.lt = &lt;
}

static void find_dnn(void)
{
	static const char *const names[] = { "libcudnn.so.9", NULL };
	char *problem = found.dnn_problem;
	size_t (*version)(void);
	void *library = open_any(names, problem, sizeof found.dnn_problem, "cuDNN 9");
	if (!library || !read_table(library, dnn_symbols, sizeof dnn_symbols / sizeof *dnn_symbols, &dnn, problem,
	                    sizeof found.dnn_problem, "cuDNN 9"))
		return;
	if (read_symbol(library, "cudnnGetVersion", &version)) found.dnn_version = version();
	if (found.dnn_version < OLDEST_DNN)
		snprintf(problem, sizeof found.dnn_problem, "cuDNN is version %zu, and 9.0 is the oldest that will do",
		    found.dnn_version);
	else
		found.dnn = &dnn;
}

static void find_nccl(void)
{
	static const char *const names[] = { "libnccl.so.2", NULL };
	char *problem = found.nccl_problem;
	size_t room = sizeof found.nccl_problem;
	int (*version)(int *);
	if (!found.driver) {
		snprintf(problem, room, "%s", found.driver_problem);
		return;
	}
	void *library = open_any(names, problem, room, "NCCL");
	if (!library ||
	    !read_table(library, nccl_symbols, sizeof nccl_symbols / sizeof *nccl_symbols, &nccl, problem, room, "NCCL"))
		return;
	if (read_symbol(library, "ncclGetVersion", &version)) version(&found.nccl_version);
	if (found.nccl_version < OLDEST_NCCL)
		snprintf(problem, room, "NCCL is version %d.%d, and 2.18 is the oldest that will do",
		    found.nccl_version / 10000, found.nccl_version / 100 % 100);
	else
		found.nccl = &nccl;
}

static void find(void)
{
	find_driver();
	if (!found.driver) return; /* the others are of no use, and large */
	find_lt();
	find_dnn();
}

const cuda_libraries *cuda_libraries_find(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, find);
	return &found;
}

const cuda_libraries *cuda_nccl_find(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	cuda_libraries_find();
	pthread_once(&once, find_nccl);
	return &found;
}
