/* test_torch.c - reading what PyTorch saved (tests/unit/torch: written by PyTorch 1.13), and refusing what tries to do
 * more than to hold tensors. */
#include "reading.h"
#include <zlib.h>

#define SAVED SOURCE_DIR "/tests/unit/torch/"

/* ── what PyTorch wrote ── */

static double element(const weight *t, size_t i)
{
	double x;
	convert(&x, F64, (const char *)t->data + i * dtype_size(t->dtype), t->dtype, 1);
	return x;
}

static void has(const weights *w, const char *name, dtype d, const int64_t *shape, int ndims, const double *values)
{
	error e = { 0 };
	const weight *t = weights_need(w, name, &e);
	if (!t) fail_saying("%s\n", e.text);
	assert_int_equal(t->dtype, d);
	assert_int_equal(t->ndims, ndims);
	for (int i = 0; i < ndims; i++) assert_int_equal(t->shape[i], shape[i]);
	assert_int_equal(t->bytes, weight_elements(t) * dtype_size(d));
	for (size_t i = 0; i < weight_elements(t); i++) assert_true(element(t, i) == values[i]);
}
#define HAS(w, name, d, shape, ...) \
	has(w, name, d, (const int64_t[])shape, sizeof(int64_t[]) shape / 8, (const double[]){ __VA_ARGS__ })
#define SHAPE(...)  \
	{               \
		__VA_ARGS__ \
	}

static void reads_one_of(const char *path)
{
	static const struct {
		const char *name;
		dtype d;
	} types[] = { { "f64", F64 }, { "f16", F16 }, { "bf16", BF16 }, { "i64", I64 }, { "i32", I32 }, { "i16", I16 },
		{ "i8", I8 }, { "u8", U8 } };
	error e = { 0 };
	weights *w = weights_open(path, &e);
	if (!w) fail_saying("%s\n", e.text);
	assert_int_equal(weights_count(w), 17); /* and none of the optimizer's */
	HAS(w, "f32", F32, SHAPE(2, 3), 0, 1, 2, 3, 4, 5);
	HAS(w, "shared", F32, SHAPE(1, 3), 3, 4, 5);
	assert_ptr_equal(weights_find(w, "shared")->data, (const char *)weights_find(w, "f32")->data + 12);
	HAS(w, "transposed", F32, SHAPE(3, 2), 0, 3, 1, 4, 2, 5);
	HAS(w, "column", F32, SHAPE(2), 1, 4);
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) HAS(w, types[i].name, types[i].d, SHAPE(3), 1, 2, 100);
	HAS(w, "bool", BOOL, SHAPE(2), 1, 0);
	has(w, "scalar", I64, NULL, 0, (double[]){ -3 });
	HAS(w, "empty", F32, SHAPE(0, 4), 0);
	HAS(w, "parameter", F32, SHAPE(1), 1.5);
	assert_null(weights_need(w, "complex", &e));
	assert_says(e, "of type C64");
	weights_close(w);
}

static void reads_what_pytorch_saved(void **unused)
{
	(void)unused;
	reads_one_of(SAVED "archive.pt");
	reads_one_of(SAVED "archive4.pt"); /* protocol 4 */
	reads_one_of(SAVED "legacy.pt");
}

static void unfolds_dictionaries(void **unused)
{
	(void)unused;
	error e = { 0 };
	weights *w = weights_open(SAVED "nested.pt", &e);
	assert_non_null(w);
	assert_int_equal(weights_count(w), 5);
	HAS(w, "string_to_param.*", F32, SHAPE(1, 2), 1, 1);
	HAS(w, "list.0", F32, SHAPE(2), 0, 0);
	HAS(w, "list.1.0", F32, SHAPE(1), 1);
	HAS(w, "module.weight", F32, SHAPE(1, 2), 0.5, -2);
	HAS(w, "module.bias", F32, SHAPE(1), 7);
	weights_close(w);
}

/* The name of a file says nothing: neither does a picture's ending make it one. */
static void judges_by_content(void **unused)
{
	(void)unused;
	char bytes[8192];
	FILE *f = fopen(SAVED "legacy.pt", "rb");
	assert_non_null(f);
	size_t n = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	reads_one_of(scratch_write("picture.png", bytes, n));
}

/* ── what is refused ── */

/* A pickle of text, in which zero bytes may stand. */
#define PICKLE(text) text, sizeof(text) - 1

static void refuses_pickle(const char *text, size_t n, const char *words)
{
	refused(scratch_write("x.ckpt", text, n), words);
}

static void refuses_to_run_anything(void **unused)
{
	(void)unused;
	refuses_pickle(PICKLE("\x80\2cos\nsystem\nX\2\0\0\0id\x85R."), "asks for os.system, which is no part of a model");
	refuses_pickle(PICKLE("cos\nsystem\n(S'id'\ntR."), "asks for os.system");
	refuses_pickle(PICKLE("cposix\nsystem\n(S'id'\ntR."), "asks for posix.system");
	refuses_pickle(PICKLE("\x80\2c__builtin__\neval\nX\1\0\0\0001\x85R."), "asks for __builtin__.eval");
	refuses_pickle(PICKLE("\x80\4\x8c\10builtins\x8c\4exec\x93\x8c\1x\x85R."), "asks for builtins.exec");
	refuses_pickle(PICKLE("\x80\2c__builtin__\ngetattr\n."), "asks for __builtin__.getattr");
	refuses_pickle(PICKLE("\x80\2csubprocess\nPopen\n."), "asks for subprocess.Popen");
	refuses_pickle(PICKLE("\x80\2ctorch.storage\n_load_from_bytes\nC\1x\x85R."), "torch.storage._load_from_bytes");
	/* deep within a dictionary, and as an attribute */
	refuses_pickle(PICKLE("\x80\2}X\1\0\0\0a}X\1\0\0\0b]cnt\nsystem\n"), "asks for nt.system");
	refuses_pickle(PICKLE("\x80\2ccollections\nOrderedDict\n)R}X\1\0\0\0acos\npopen\nsb."), "asks for os.popen");
	/* the names that are known do nothing but what they are known for */
	refuses_pickle(PICKLE("\x80\2ctorch\nFloatStorage\n)R."), "calls torch.FloatStorage");
	refuses_pickle(PICKLE("\x80\2ctorch._utils\n_rebuild_tensor_v2\n)R."), "makes a tensor of something");
	refuses_pickle(PICKLE("\x80\2ccollections\nOrderedDict\nK\1\x85R."), "OrderedDict of something");
	refuses_pickle(PICKLE("\x80\2X\1\0\0\0a)R."), "calls something that is no function");
	refuses_pickle(PICKLE("\x80\2X\1\0\0\0aX\1\0\0\0ab."), "sets the state of something");
}

static void refuses_other_opcodes(void **unused)
{
	(void)unused;
	refuses_pickle(PICKLE("\x80\2(X\2\0\0\0idios\nsystem\n."), "makes an instance (INST) of os.system");
	refuses_pickle(PICKLE("\x80\2(o."), "the opcode OBJ (0x6f)");
	refuses_pickle(PICKLE("\x80\2\x82\1."), "the opcode EXT1 (0x82)");
	refuses_pickle(PICKLE("\x80\2P1\n."), "the opcode PERSID");
	refuses_pickle(PICKLE("\x80\4)}\x92."), "the opcode NEWOBJ_EX");
	refuses_pickle(PICKLE("\x80\2\x01."), "the opcode unknown (0x01)");
	refuses_pickle(PICKLE("\x80\2K\1\x80\1."), "protocol 1");
	refuses_pickle(PICKLE("\x80\2K\1."), "a pickle that PyTorch did not write");
}

static void refuses_bombs(void **unused)
{
	(void)unused;
	/* sizes that are not there */
	refuses_pickle(PICKLE("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx"), "9223372036854775807 bytes are needed");
	refuses_pickle(PICKLE("\x80\2X\xff\xff\xff\xffx"), "4294967295 bytes are needed");
	refuses_pickle(PICKLE("\x80\2\x8b\xff\xff\xff\x7fx"), "2147483647 bytes are needed");
	refuses_pickle(PICKLE("\x80\2Nr\xff\xff\xff\xff."), "memo would have 4294967295 entries");
	/* stacks that are empty, marks that are not there */
	refuses_pickle(PICKLE("\x80\2\x85."), "empty stack");
	refuses_pickle(PICKLE("\x80\2."), "0 values, expected one");
	refuses_pickle(PICKLE("\x80\2NN."), "2 values, expected one");
	refuses_pickle(PICKLE("\x80\2(N."), "expected one");
	refuses_pickle(PICKLE("\x80\2t."), "no mark");
	refuses_pickle(PICKLE("\x80\2(t."), "a pickle that PyTorch did not write");
	refuses_pickle(PICKLE("\x80\2N(\x85."), "empty stack");
	refuses_pickle(PICKLE("\x80\2}(Nu."), "a key without a value");
	refuses_pickle(PICKLE("\x80\2h\5."), "no entry 5");
	refuses_pickle(PICKLE("\x80\2NNa."), "no list");
	refuses_pickle(PICKLE("\x80\2K"), "cut short");
	refuses_pickle(PICKLE("\x80\2cos"), "cut short");
	static char many[(1 << 22) + 100];
	memset(many, 'N', sizeof many);
	memcpy(many, "\x80\2", 2);
	refuses_pickle(many, sizeof many, "more than 4194304 values");
	memset(many + 2, '(', sizeof many - 2);
	refuses_pickle(many, sizeof many, "more than 4194304 values");
}

/* ── archives of our own ── */

typedef struct part { /* of an archive */
	const char *name, *data;
	size_t bytes;
	int method, flags;
	uint32_t says; /* its size in the directory, where that is not its own */
} part;

static size_t put(uint8_t *to, size_t at, uint64_t n, int bytes)
{
	for (int i = 0; i < bytes; i++) to[at + (size_t)i] = i < 8 ? (uint8_t)(n >> 8 * i) : 0;
	return at + (size_t)bytes;
}

static size_t put_header(uint8_t *to, size_t at, const part *p, bool central, size_t place)
{
	size_t says = p->says ? p->says : p->bytes;
	at = put(to, at, central ? 0x02014b50 : 0x04034b50, 4);
	if (central) at = put(to, at, 20, 2);
	at = put(to, at, 20, 2);
	at = put(to, at, (uint64_t)p->flags, 2);
	at = put(to, at, (uint64_t)p->method, 2);
	at = put(to, at, 0, 4);
	at = put(to, at, crc32(0, (const Bytef *)p->data, (uInt)p->bytes), 4);
	at = put(to, at, says, 4);
	at = put(to, at, says, 4);
	at = put(to, at, strlen(p->name), 2);
	at = put(to, at, 0, 2);
	if (central) {
		at = put(to, at, 0, 10);
		at = put(to, at, place, 4);
	}
	memcpy(to + at, p->name, strlen(p->name));
	return at + strlen(p->name);
}

static uint8_t archive_bytes[8192];
static size_t archive_size, directory_at;

static const char *archive(const part *parts, size_t count)
{
	size_t at = 0, places[8];
	for (size_t i = 0; i < count; i++) {
		places[i] = at;
		at = put_header(archive_bytes, at, &parts[i], false, 0);
		memcpy(archive_bytes + at, parts[i].data, parts[i].bytes);
		at += parts[i].bytes;
	}
	directory_at = at;
	for (size_t i = 0; i < count; i++) at = put_header(archive_bytes, at, &parts[i], true, places[i]);
	size_t end = at;
	at = put(archive_bytes, at, 0x06054b50, 4);
	at = put(archive_bytes, at, 0, 4);
	at = put(archive_bytes, at, count, 2);
	at = put(archive_bytes, at, count, 2);
	at = put(archive_bytes, at, end - directory_at, 4);
	at = put(archive_bytes, at, directory_at, 4);
	archive_size = put(archive_bytes, at, 0, 2);
	return scratch_write("x.pt", archive_bytes, archive_size);
}
#define ARCHIVE(...) archive((const part[]){ __VA_ARGS__ }, sizeof((const part[]){ __VA_ARGS__ }) / sizeof(part))

/* {"a": a float tensor of storage 0 with so many elements, from this offset, of this shape and stride} */
#define TENSOR(type, count, offset, shape, stride)                                                                \
	"\x80\2}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\n" type "\nX\1\0\0\0000X\3\0\0" \
	"\0cpu" count "tQ" offset shape stride "\x89NtRs."
#define FLOATS "FloatStorage"

static void reads_an_archive_of_ours(void **unused)
{
	(void)unused;
	error e = { 0 };
	const char data[] = "\0\0\x80?\0\0\0@";
	weights *w =
	    weights_open(ARCHIVE({ "x/data.pkl", PICKLE(TENSOR(FLOATS, "K\2", "K\0", "K\2\x85", "K\1\x85")), 0, 0, 0 },
	                     { "x/data/0", data, 8, 0, 0, 0 }),
	        &e);
	if (!w) fail_saying("%s\n", e.text);
	HAS(w, "a", F32, SHAPE(2), 1, 2);
	weights_close(w);
}

static void refuses_tensor(const char *text, size_t n, const char *words)
{
	static const char data[64] = { 0 };
	refused(ARCHIVE({ "x/data.pkl", text, n, 0, 0, 0 }, { "x/data/0", data, 8, 0, 0, 0 }), words);
}

static void refuses_wrong_tensors(void **unused)
{
	(void)unused;
#define REFUSES(words, ...) refuses_tensor(PICKLE(TENSOR(__VA_ARGS__)), words)
	REFUSES("reaches beyond its storage of 2 elements", FLOATS, "K\2", "K\1", "K\2\x85", "K\1\x85");
	REFUSES("reaches beyond its storage", FLOATS, "K\2", "K\0", "K\2\x85", "K\2\x85");
	REFUSES(
	    "reaches beyond its storage", FLOATS, "K\2", "K\0", "K\2\x85", "\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f\x85");
	REFUSES("has 8 bytes, the pickle says 12", FLOATS, "K\3", "K\0", "K\2\x85", "K\1\x85");
	REFUSES("a storage would have", FLOATS, "\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f", "K\0", "K\2\x85", "K\1\x85");
	REFUSES("no number of bytes", FLOATS, "K\2", "K\0", "\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f\x85", "K\0\x85");
	REFUSES("more elements than its storage", FLOATS, "K\2", "K\0", "M\xff\xffM\xff\xff\x86", "K\0K\0\x86");
	REFUSES("is no size", FLOATS, "K\2", "K\0", "J\xff\xff\xff\xff\x85", "K\1\x85");
	REFUSES("1 dimensions and 2 strides", FLOATS, "K\2", "K\0", "K\2\x85", "K\1K\1\x86");
	REFUSES("9 dimensions", FLOATS, "K\2", "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "K\1\x85");
	REFUSES("persistent id", FLOATS, "J\xff\xff\xff\xff", "K\0", "K\2\x85", "K\1\x85");
	REFUSES("storage and offset", FLOATS, "K\2", "J\xff\xff\xff\xff", "K\2\x85", "K\1\x85");
	REFUSES("asks for torch.QInt8Storage", "QInt8Storage", "K\2", "K\0", "K\2\x85", "K\1\x85");
	refuses_tensor(PICKLE("\x80\2X\1\0\0\0aQ."), "persistent id");
	refuses_tensor(PICKLE("\x80\2}X\1\0\0\0aNs."), "holds no tensors");
	refused(SAVED "expanded.pt", "more elements than its storage");
	/* a dictionary that holds itself, and one that unfolds without end */
	refuses_tensor(PICKLE("\x80\2}q\0X\1\0\0\0ah\0s."), "nested more than 16 deep");
	char bomb[1024] = "\x80\2]q\0000";
	size_t at = 6;
	for (char i = 1; i <= 8; i++) { /* each list holds the one before it 16 times */
		memcpy(bomb + at, "](", 2);
		at += 2;
		for (int k = 0; k < 16; k++, at += 2) memcpy(bomb + at, (char[]){ 'h', (char)(i - 1) }, 2);
		memcpy(bomb + at, (char[]){ 'e', 'q', i, '0' }, 4);
		at += 4;
	}
	memcpy(bomb + at, "h\10.", 3);
	refuses_tensor(bomb, at + 3, "unfold to more than");
}

static void refuses_wrong_archives(void **unused)
{
	(void)unused;
	const part program = { "x/data.pkl", PICKLE(TENSOR(FLOATS, "K\2", "K\0", "K\2\x85", "K\1\x85")), 0, 0, 0 };
	const part storage = { "x/data/0", "\0\0\x80?\0\0\0@", 8, 0, 0, 0 };
	part other = storage;
	refused(ARCHIVE(program), "no storage data/0");
	other.method = 8;
	refused(ARCHIVE(program, other), "'x/data/0' is compressed (deflated)");
	other.method = 93;
	refused(ARCHIVE(program, other), "'x/data/0' is compressed");
	other.method = 0;
	other.flags = 1;
	refused(ARCHIVE(program, other), "'x/data/0' is encrypted");
	other.flags = 0;
	other.says = 4000000000u; /* a bomb, if it were unpacked */
	refused(ARCHIVE(program, other), "'x/data/0' has 4000000000 bytes, the pickle says 8");
	other = program;
	other.method = 8;
	refused(ARCHIVE(other, storage), "'x/data.pkl' is compressed");
	other.method = 0;
	other.says = 4000000000u;
	refused(ARCHIVE(other, storage), "'x/data.pkl' is cut short");
	refused(ARCHIVE(program, storage, storage), "'x/data/0' is there twice");
	other = program;
	other.name = "y/data.pkl";
	refused(ARCHIVE(program, other, storage), "more than one data.pkl");
	refused(ARCHIVE(storage), "without data.pkl");
	other = (part){ "x/byteorder", "big", 3, 0, 0, 0 };
	refused(ARCHIVE(program, storage, other), "not little-endian");
	refused(SAVED "script.pt", "TorchScript");
}

/* Any byte of the directory changed, and any cut: the same tensors, or a message. */
static void survives_damage(void **unused)
{
	(void)unused;
	ARCHIVE({ "x/data.pkl", PICKLE(TENSOR(FLOATS, "K\2", "K\0", "K\2\x85", "K\1\x85")), 0, 0, 0 },
	    { "x/data/0", "\0\0\x80?\0\0\0@", 8, 0, 0, 0 });
	size_t n = archive_size;
	int opened = 0;
	for (size_t i = 0; i < 2 * n; i++) {
		error e = { 0 };
		uint8_t was = archive_bytes[i % n];
		archive_bytes[i % n] = (uint8_t)(i < n ? 0xff : was ^ 1);
		weights *w = weights_open(scratch_write("x.pt", archive_bytes, n), &e);
		archive_bytes[i % n] = was;
		assert_true(w || e.status == BAD_FILE);
		opened += w != NULL;
		weights_close(w);
		error cut = { 0 };
		if (i && i < n) assert_null(weights_open(scratch_write("x.pt", archive_bytes, i), &cut));
	}
	assert_true(opened && opened < (int)(2 * n));
}

/* Also of the old format, where data follow the pickles. */
static void survives_cuts_of_old_files(void **unused)
{
	(void)unused;
	uint8_t bytes[8192];
	FILE *f = fopen(SAVED "legacy.pt", "rb");
	assert_non_null(f);
	size_t n = fread(bytes, 1, sizeof bytes, f);
	fclose(f);
	for (size_t i = 1; i < n; i++) {
		error e = { 0 };
		assert_null(weights_open(scratch_write("x.pt", bytes, i), &e));
		assert_int_equal(e.status, BAD_FILE);
	}
}

/* Numbers that do not fit 32 bits stand elsewhere; here they fit, and stand there all the same. */
static void reads_zip64(void **unused)
{
	(void)unused;
	error e = { 0 };
	ARCHIVE({ "x/data.pkl", PICKLE(TENSOR(FLOATS, "K\2", "K\0", "K\2\x85", "K\1\x85")), 0, 0, 0 },
	    { "x/data/0", "\0\0\x80?\0\0\0@", 8, 0, 0, 0 });
	uint8_t bytes[8192];
	size_t end = archive_size - 22, at = directory_at, to = directory_at;
	memcpy(bytes, archive_bytes, directory_at);
	for (int i = 0; i < 2; i++) { /* each entry with an extra field of its sizes and its place */
		size_t name = archive_bytes[at + 28];
		memcpy(bytes + to, archive_bytes + at, 46 + name);
		memset(bytes + to + 20, 0xff, 8);
		memset(bytes + to + 42, 0xff, 4);
		put(bytes, to + 30, 28, 2);
		to += 46 + name;
		to = put(bytes, put(bytes, to, 1, 2), 24, 2);
		for (int k = 0; k < 3; k++) {
			static const int fields[] = { 24, 20, 42 };
			memcpy(bytes + to, archive_bytes + at + fields[k], 4);
			to = put(bytes, to + 4, 0, 4);
		}
		at += 46 + name;
	}
	assert_int_equal(at, end);
	size_t end64 = to;
	to = put(bytes, put(bytes, to, 0x06064b50, 4), 44, 8);
	to = put(bytes, to, 0, 12);
	to = put(bytes, put(bytes, to, 2, 8), 2, 8);
	to = put(bytes, put(bytes, to, end64 - directory_at, 8), directory_at, 8);
	to = put(bytes, put(bytes, to, 0x07064b50, 4), 0, 4);
	to = put(bytes, put(bytes, to, end64, 8), 1, 4);
	to = put(bytes, put(bytes, to, 0x06054b50, 4), 0, 4);
	memset(bytes + to, 0xff, 12);
	to = put(bytes, to + 12, 0, 2);
	weights *w = weights_open(scratch_write("x.pt", bytes, to), &e);
	if (!w) fail_saying("%s\n", e.text);
	HAS(w, "a", F32, SHAPE(2), 1, 2);
	weights_close(w);
	put(bytes, end64 + 48, to, 8);
	refused(scratch_write("x.pt", bytes, to), "lies outside of the file");
}

/* A word as the first trainers wrote it: the vectors in a torch.nn.ParameterDict instead of a dictionary. */
static void reads_parameter_dictionaries(void **state)
{
	(void)state;
	error e = { 0 };
	weights *plain = weights_open(SAVED "parameters.pt", &e), *held = weights_open(SAVED "parameterdict.pt", &e);
	if (!plain || !held) fail_saying("%s\n", e.text);
	const weight *a = weights_need(plain, "string_to_param.*", &e), *b = weights_need(held, "string_to_param.*", &e);
	assert_true(a && b && a->bytes == b->bytes);
	assert_memory_equal(a->data, b->data, a->bytes);
	weights_close(plain);
	weights_close(held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_pytorch_saved),
		cmocka_unit_test(unfolds_dictionaries),
		cmocka_unit_test(reads_parameter_dictionaries),
		IN_SCRATCH(judges_by_content),
		IN_SCRATCH(refuses_to_run_anything),
		IN_SCRATCH(refuses_other_opcodes),
		IN_SCRATCH(refuses_bombs),
		IN_SCRATCH(reads_an_archive_of_ours),
		IN_SCRATCH(reads_zip64),
		IN_SCRATCH(refuses_wrong_tensors),
		IN_SCRATCH(refuses_wrong_archives),
		IN_SCRATCH(survives_damage),
		IN_SCRATCH(survives_cuts_of_old_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
