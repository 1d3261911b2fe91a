/* pack-tokenizers.c - makes the committed tables of src/text from public data:
 *
 *     cc -O2 tools/pack-tokenizers.c -ljansson -lz -o pack-tokenizers; t=src/text/tables
 *     ./pack-tokenizers clip MERGES.txt > $t/clip_merges.c       48,894 merges of CLIP, "left right" a line
 *     ./pack-tokenizers bert VOCAB.txt > $t/bert_vocabulary.c    BERT's uncased vocabulary, a token a line
 *     ./pack-tokenizers t5 SPIECE.model > $t/t5_vocabulary.c     T5's sentencepiece model
 *     ./pack-tokenizers html ENTITIES.json UNICODE > $t/html_entities.c    WHATWG's entities.json
 *     ./pack-tokenizers unicode UNICODE > $t/unicode_tables.c
 *     ./pack-tokenizers encodings > src/text/encodings.c         what the C library's iconv knows
 *
 * UNICODE is a folder with the Unicode character database (Debian: /usr/share/unicode). Packed data is deflated and
 * written as text in base 85, which src/text/packed.c undoes. This is a tool of the maintainer: any problem ends it. */
#define _GNU_SOURCE
#include <iconv.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define POINTS 0x110000

typedef struct bytes {
	uint8_t *at;
	size_t count;
} bytes;

static void die(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vfprintf(stderr, format, list);
	va_end(list);
	fputc('\n', stderr);
	exit(1);
}

static void append(bytes *b, const void *data, size_t n)
{
	b->at = realloc(b->at, b->count + n + 1);
	if (!b->at) die("out of memory");
	memcpy(b->at + b->count, data, n);
	b->count += n;
	b->at[b->count] = 0;
}

static FILE *open_file(const char *format, ...)
{
	char path[4096];
	va_list list;
	va_start(list, format);
	vsnprintf(path, sizeof path, format, list);
	va_end(list);
	FILE *f = fopen(path, "r");
	if (!f) die("%s: cannot be read", path);
	return f;
}

static bool next_line(FILE *f, char *line, size_t size)
{
	if (!fgets(line, (int)size, f)) return false;
	line[strcspn(line, "\r\n")] = 0;
	return true;
}

/* Writes data as `const packed NAME` with its text in base 85: the digits are '#' to 'y' without '?' and '\'. */
static void print_packed(const char *name, const char *comment, const bytes *raw)
{
	uLong bound = compressBound(raw->count);
	uint8_t *deflated = calloc(bound + 4, 1);
	if (!deflated || compress2(deflated, &bound, raw->at, raw->count, 9) != Z_OK) die("deflate failed");
	printf("/* %s\n * Made by tools/pack-tokenizers.c: do not edit. */\n#include \"text/packed.h\"\n\n", comment);
	printf("static const char rows[][PACKED_ROW + 1] = {");
	for (uLong i = 0, column = 0; i < bound; i += 4, column += 5) {
		if (column % 110 == 0) printf("%s\n\t\"", column ? "\"," : "");
		uint32_t v = (uint32_t)deflated[i] << 24 | (uint32_t)deflated[i + 1] << 16 | (uint32_t)deflated[i + 2] << 8 |
		             deflated[i + 3];
		char digits[6] = { 0 };
		for (int k = 4; k >= 0; k--, v /= 85) {
			int c = '#' + (int)(v % 85);
			c += c >= '?';
			c += c >= '\\';
			digits[k] = (char)c;
		}
		printf("%s", digits);
	}
	printf("\",\n};\n\nconst packed %s = { rows, %lu, %zu };\n", name, bound, raw->count);
	free(deflated);
}

/* CLIP writes a byte as a printable character: 188 bytes as themselves, the other 68 in order from U+0100. A token
 * is a number: 256 bytes, then the same at the end of a word, then one for each merge. What is packed are the two
 * numbers of each merge, 16 bits each: low bytes of the left, high bytes of the left, then the right likewise. */

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

enum { TOKENS = 49406, SLOTS = 1 << 18 };
static char *slots[SLOTS];
static int numbers[SLOTS], count;

static uint32_t slot_of(const char *name)
{
	uint32_t hash = 2166136261u;
	for (const char *p = name; *p; p++) hash = (hash ^ (uint8_t)*p) * 16777619u;
	while (slots[hash % SLOTS] && strcmp(slots[hash % SLOTS], name)) hash++;
	return hash % SLOTS;
}

static void add_token(const char *name)
{
	uint32_t slot = slot_of(name);
	slots[slot] = strdup(name);
	numbers[slot] = count++;
}

static void pack_clip(const char *path)
{
	char line[1024];
	bytes planes[4] = { { 0 } }, all = { 0 };
	FILE *f = open_file("%s", path);
	for (int ending = 0; ending < 2; ending++) {
		for (int pass = 0; pass < 2; pass++) {
			for (int b = 0, next = 0x100; b < 256; b++) {
				bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
				int c = printable ? b : next++;
				if (printable == pass) continue;
				char name[16];
				if (c < 0x80)
					snprintf(name, sizeof name, "%c%s", c, ending ? "</w>" : "");
				else
					snprintf(name, sizeof name, "%c%c%s", 0xc0 | c >> 6, 0x80 | (c & 63), ending ? "</w>" : "");
				add_token(name);
			}
		}
	}
	while (next_line(f, line, sizeof line) && *line) {
		char *right = strchr(line, ' ');
		if (!right) die("%s: no space in \"%s\"", path, line);
		*right++ = 0;
		int pair[2];
		for (int side = 0; side < 2; side++) {
			uint32_t slot = slot_of(side ? right : line);
			if (!slots[slot]) die("%s: \"%s\" was not made by an earlier merge", path, side ? right : line);
			pair[side] = numbers[slot];
			uint8_t low = pair[side] & 255, high = (uint8_t)(pair[side] >> 8);
			append(&planes[side * 2], &low, 1);
			append(&planes[side * 2 + 1], &high, 1);
		}
		char joined[1024];
		snprintf(joined, sizeof joined, "%s%s", line, right);
		add_token(joined);
	}
	if (count != TOKENS) die("%s: %d tokens, expected %d", path, count, TOKENS);
	for (int i = 0; i < 4; i++) append(&all, planes[i].at, planes[i].count);
	print_packed("clip_merges",
	    "clip_merges.c - the merges of CLIP's byte-pair tokenizer (MIT, OpenAI; see NOTICE), as numbers of tokens.",
	    &all);
}

static void pack_bert(const char *path)
{
	bytes all = { 0 };
	char line[1024];
	FILE *f = open_file("%s", path);
	while (next_line(f, line, sizeof line)) {
		append(&all, line, strlen(line));
		append(&all, "\n", 1);
	}
	print_packed("bert_vocabulary",
	    "bert_vocabulary.c - BERT's uncased WordPiece vocabulary (Apache-2.0, Google; see NOTICE), a token a line.",
	    &all);
}

/* ---- T5: a sentencepiece model is a protocol buffer ---- */

typedef struct wire { /* what is left of a message */
	const uint8_t *at, *end;
} wire;

static uint64_t varint(wire *w)
{
	uint64_t value = 0;
	for (int shift = 0; w->at < w->end && shift < 64; shift += 7) {
		uint8_t b = *w->at++;
		value |= (uint64_t)(b & 127) << shift;
		if (b < 128) break;
	}
	return value;
}

/* The next field of a message: its number (0: the end), its bytes where it has a length, else its value. */
static int next_field(wire *w, wire *inside, uint64_t *value)
{
	if (w->at >= w->end) return 0;
	uint64_t key = varint(w), size = 0;
	*value = 0;
	if ((key & 7) == 0) {
		*value = varint(w);
		return (int)(key >> 3);
	}
	size = (key & 7) == 2 ? varint(w) : (key & 7) == 5 ? 4 : 8;
	if (size > (uint64_t)(w->end - w->at)) die("the sentencepiece model is cut off");
	*inside = (wire){ w->at, w->at + size };
	w->at += size;
	return (int)(key >> 3);
}

/* The pieces, each ended by 0xFF, then an 0xFF; the differences of the bits of their scores, which fall from the fourth
 * on, go to `scores` in base 128. */
static void add_piece(wire piece, bytes *all, bytes *scores)
{
	static uint32_t last, pieces;
	wire inside;
	uint64_t value;
	uint32_t bits = 0;
	for (int f; (f = next_field(&piece, &inside, &value));) {
		if (f == 1) append(all, inside.at, (size_t)(inside.end - inside.at));
		if (f == 2) memcpy(&bits, inside.at, 4);
	}
	append(all, "\xff", 1);
	if (pieces++ > 2 && bits < last) die("the score of piece %u is above the one before", pieces - 1);
	for (uint32_t delta = bits - last;; delta >>= 7) {
		uint8_t digit = (uint8_t)((delta & 127) | (delta > 127 ? 128 : 0));
		append(scores, &digit, 1);
		if (delta < 128) break;
	}
	last = bits;
}

/* Darts' double array: from node `at`, the child by byte c is at ^ c where that unit has the label c. A key that begins
 * with another is left out: the shortest is what is looked for. */
static void add_normal_forms(const uint32_t *units, uint32_t count, uint32_t at, const char *values, bytes *all)
{
	static char key[64];
	static size_t depth;
	for (uint32_t c = 1; c < 256; c++) {
		uint32_t p = at ^ c;
		if (p >= count || (units[p] & (0x80000000u | 0xff)) != c) continue;
		uint32_t child = p ^ ((units[p] >> 10) << ((units[p] & 512) >> 6));
		key[depth++] = (char)c;
		if (depth == sizeof key) die("the double array is not a tree");
		if (units[p] >> 8 & 1) {
			const char *value = values + (units[child] & 0x7fffffff);
			append(all, key, depth);
			append(all, "\xfe", 1);
			append(all, value, strlen(value));
			append(all, "\xff", 1);
		} else {
			add_normal_forms(units, count, child, values, all);
		}
		depth--;
	}
}

static void pack_t5(const char *path)
{
	bytes file = { 0 }, all = { 0 }, scores = { 0 };
	uint8_t block[4096];
	FILE *f = open_file("%s", path);
	for (size_t n; (n = fread(block, 1, sizeof block, f));) append(&file, block, n);
	fclose(f);
	wire model = { file.at, file.at + file.count }, inside, normalizer = { 0 }, map = { 0 };
	uint64_t value;
	for (int field; (field = next_field(&model, &inside, &value));) {
		if (field == 1) add_piece(inside, &all, &scores);
		if (field == 3) normalizer = inside;
	}
	append(&all, "\xff", 1);
	for (int field; (field = next_field(&normalizer, &inside, &value));)
		if (field == 2) map = inside;
	uint32_t size;
	if (map.end - map.at < 8) die("%s has no table of normal forms", path);
	memcpy(&size, map.at, 4);
	uint32_t *units = malloc(size);
	memcpy(units, map.at + 4, size);
	add_normal_forms(
	    units, size / 4, (units[0] >> 10) << ((units[0] & 512) >> 6), (const char *)map.at + 4 + size, &all);
	append(&all, "\xff", 1);
	append(&all, scores.at, scores.count);
	print_packed("t5_vocabulary",
	    "t5_vocabulary.c - T5's pieces, normal forms and scores (Apache-2.0, Google; see NOTICE), as unigram.c reads "
	    "them.",
	    &all);
}

/* ---- Unicode character database ---- */

static char *category[POINTS];
static uint32_t upper[POINTS][3], lower[POINTS], decomposition[POINTS][2], compatible[POINTS];
static uint8_t combining[POINTS], grapheme[POINTS];
static bool cased[POINTS], ignorable[POINTS], excluded[POINTS];

/* Reads one field after another of a line split by ';'. */
static char *field(char **cursor)
{
	char *start = *cursor, *end = strchr(start, ';');
	if (end) {
		*end = 0;
		*cursor = end + 1;
	} else {
		*cursor = start + strlen(start);
	}
	return start;
}

static void read_unicode_data(const char *dir)
{
	char line[4096];
	FILE *f = open_file("%s/UnicodeData.txt", dir);
	uint32_t first = 0;
	while (next_line(f, line, sizeof line)) {
		char *cursor = line;
		uint32_t c = (uint32_t)strtoul(field(&cursor), NULL, 16);
		char *name = field(&cursor), *kind = strdup(field(&cursor));
		combining[c] = (uint8_t)atoi(field(&cursor));
		field(&cursor);
		char *parts = field(&cursor);
		for (int i = 0; i < 6; i++) field(&cursor);
		upper[c][0] = (uint32_t)strtoul(field(&cursor), NULL, 16);
		lower[c] = (uint32_t)strtoul(field(&cursor), NULL, 16);
		if (*parts && *parts != '<') {
			char *end;
			decomposition[c][0] = (uint32_t)strtoul(parts, &end, 16);
			decomposition[c][1] = (uint32_t)strtoul(end, NULL, 16);
		} else if (*parts) {
			compatible[c] = (uint32_t)strtoul(strchr(parts, '>') + 1, NULL, 16);
		}
		size_t n = strlen(name);
		bool last = n > 6 && !strcmp(name + n - 6, " Last>"); /* of a range: <…, First> is the line before */
		for (uint32_t k = last ? first : c; k <= c; k++) category[k] = kind;
		first = c;
	}
	fclose(f);
}

static void read_properties(const char *dir)
{
	char line[4096];
	FILE *f = open_file("%s/DerivedCoreProperties.txt", dir);
	while (next_line(f, line, sizeof line)) {
		unsigned first, last;
		char name[64];
		if (sscanf(line, "%x..%x ; %63s", &first, &last, name) != 3) {
			if (sscanf(line, "%x ; %63s", &first, name) != 2) continue;
			last = first;
		}
		for (unsigned c = first; c <= last; c++) {
			if (!strcmp(name, "Cased")) cased[c] = true;
			if (!strcmp(name, "Case_Ignorable")) ignorable[c] = true;
		}
	}
	fclose(f);
	f = open_file("%s/auxiliary/GraphemeBreakProperty.txt", dir);
	while (next_line(f, line, sizeof line)) {
		static const struct {
			const char *name;
			uint8_t value; /* in the order of `grapheme_class` */
		} values[] = { { "CR", 1 }, { "LF", 2 }, { "Control", 3 }, { "Extend", 4 }, { "ZWJ", 4 }, { "SpacingMark", 4 },
			{ "Prepend", 5 } };
		unsigned first, last;
		char name[64];
		if (sscanf(line, "%x..%x ; %63s", &first, &last, name) != 3) {
			if (sscanf(line, "%x ; %63s", &first, name) != 2) continue;
			last = first;
		}
		for (size_t k = 0; k < sizeof values / sizeof *values; k++)
			for (unsigned c = first; !strcmp(name, values[k].name) && c <= last; c++) grapheme[c] = values[k].value;
	}
	fclose(f);
	f = open_file("%s/CompositionExclusions.txt", dir);
	while (next_line(f, line, sizeof line)) {
		unsigned c;
		if (sscanf(line, "%x", &c) == 1 && *line != '#') excluded[c] = true;
	}
	fclose(f);
	f = open_file("%s/SpecialCasing.txt", dir);
	while (next_line(f, line, sizeof line)) {
		char *cursor = line;
		if (!*line || *line == '#') continue;
		uint32_t c = (uint32_t)strtoul(field(&cursor), NULL, 16);
		field(&cursor);
		field(&cursor);
		char *to = field(&cursor), *condition = field(&cursor);
		while (*condition == ' ') condition++;
		if (*condition && *condition != '#') continue;
		for (int i = 0; i < 3; i++) upper[c][i] = (uint32_t)strtoul(to, &to, 16);
	}
	fclose(f);
}

/* Prints runs of code points of equal value other than `skip` as {first, last, value}. */
static void print_runs(const char *declaration, uint32_t (*value)(uint32_t), uint32_t skip)
{
	printf("%s = {", declaration);
	int column = 1000;
	for (uint32_t c = 0; c < POINTS;) {
		uint32_t end = c + 1, v = value(c);
		while (end < POINTS && value(end) == v) end++;
		if (v != skip) {
			if (column > 90) column = 0, printf("\n\t");
			column += printf("%s{0x%X,0x%X,%u},", column ? " " : "", c, end - 1, v);
		}
		c = end;
	}
	printf("\n};\n\n");
}

static uint32_t class_of(uint32_t c)
{
	const char *k = category[c];
	if (!k || *k == 'C') return 0; /* the order of `char_class` */
	if (*k == 'L') return 1;
	if (*k == 'N') return 2;
	if (!strcmp(k, "Mn")) return 3;
	if (*k == 'P') return 4;
	if (!strcmp(k, "Zs")) return 5;
	return 6;
}

static uint32_t combining_of(uint32_t c) { return combining[c]; }
static uint32_t grapheme_of(uint32_t c) { return grapheme[c]; }
static uint32_t casing_of(uint32_t c) { return (uint32_t)cased[c] | (uint32_t)ignorable[c] << 1; }

/* Runs {first, last, step, distance}: from first to last by step, the lower-case letter is `distance` away. */
static void print_lower(void)
{
	printf("const lower_run lower_runs[] = {");
	int column = 1000;
	for (uint32_t c = 0; c < POINTS; c++) {
		if (!lower[c] || lower[c] == c) continue;
		int32_t d = (int32_t)lower[c] - (int32_t)c;
		uint32_t last = c, step = 1;
		for (uint32_t s = 1; s <= 2; s++) {
			uint32_t k = c;
			while (lower[k + s] && (int32_t)lower[k + s] - (int32_t)(k + s) == d && (s == 1 || !lower[k + 1])) k += s;
			if (k > last) last = k, step = s;
		}
		if (column > 90) column = 0, printf("\n\t");
		column += printf("%s{0x%X,0x%X,%u,%d},", column ? " " : "", c, last, step, d);
		c = last;
	}
	printf("\n};\nconst size_t lower_runs_count = sizeof lower_runs / sizeof *lower_runs;\n\n");
}

static uint16_t composed[4096];
static uint32_t decomposed[4096];

static int compare_pairs(const void *a, const void *b)
{
	const uint32_t *x = decomposition[decomposed[*(const uint16_t *)a]];
	const uint32_t *y = decomposition[decomposed[*(const uint16_t *)b]];
	if (x[0] != y[0]) return x[0] < y[0] ? -1 : 1;
	return x[1] < y[1] ? -1 : x[1] > y[1];
}

static void print_decompositions(void)
{
	int all = 0, pairs = 0, column = 1000;
	printf("const decomposed_char decompositions[] = {");
	for (uint32_t c = 0; c < POINTS; c++) {
		uint32_t *d = decomposition[c];
		if (!d[0]) continue;
		decomposed[all] = c;
		if (d[1] && !excluded[c] && !combining[c] && !combining[d[0]]) composed[pairs++] = (uint16_t)all;
		all++;
		if (column > 90) column = 0, printf("\n\t");
		column += printf("%s{0x%X,0x%X,0x%X},", column ? " " : "", c, d[0], d[1]);
	}
	printf("\n};\nconst size_t decompositions_count = sizeof decompositions / sizeof *decompositions;\n\n");
	qsort(composed, (size_t)pairs, sizeof *composed, compare_pairs);
	printf("const uint16_t compositions[] = {");
	column = 1000;
	for (int i = 0; i < pairs; i++) {
		if (column > 110) column = 0, printf("\n\t");
		column += printf("%s%d,", column ? " " : "", composed[i]);
	}
	printf("\n};\nconst size_t compositions_count = sizeof compositions / sizeof *compositions;\n\n");
}

/* The usual form of the characters U+FF5F to U+FFEE (fully decomposed by compatibility). */
static void print_widths(void)
{
	printf("const uint16_t usual_width[0xFFEF - 0xFF5F] = {");
	for (uint32_t c = 0xff5f; c < 0xffef; c++) {
		uint32_t to = c;
		while (compatible[to]) to = compatible[to];
		if (c == 0xffe3) to = 0xaf;
		printf("%s0x%X,", (c - 0xff5f) % 14 ? " " : "\n\t", to);
	}
	printf("\n};\n");
}

static void print_unicode(const char *dir)
{
	read_unicode_data(dir);
	read_properties(dir);
	printf("/* unicode_tables.c - facts of the Unicode character database 15.0 (see NOTICE).\n"
	       " * Made by tools/pack-tokenizers.c: do not edit. */\n#include \"text/tables/unicode_tables.h\"\n\n"
	       "/* clang-format off */\n");
	print_runs("const value_run class_runs[]", class_of, 0);
	printf("const size_t class_runs_count = sizeof class_runs / sizeof *class_runs;\n\n");
	print_runs("const value_run combining_runs[]", combining_of, 0);
	printf("const size_t combining_runs_count = sizeof combining_runs / sizeof *combining_runs;\n\n");
	print_runs("const value_run grapheme_runs[]", grapheme_of, 0);
	printf("const size_t grapheme_runs_count = sizeof grapheme_runs / sizeof *grapheme_runs;\n\n");
	print_runs("const value_run casing_runs[]", casing_of, 0);
	printf("const size_t casing_runs_count = sizeof casing_runs / sizeof *casing_runs;\n\n");
	print_lower();
	print_decompositions();
	print_widths();
}

/* ---- HTML entities ---- */

static char *entity_lines[8192];
static size_t entity_count;

static void add_entity(const char *name, const uint32_t *points, size_t n)
{
	char line[256];
	int k = snprintf(line, sizeof line, "%s", name);
	for (size_t i = 0; i < n; i++) k += snprintf(line + k, sizeof line - (size_t)k, " %X", points[i]);
	entity_lines[entity_count++] = strdup(line);
}

/* html.unescape would take a name without semicolon out of the front of this one. */
static bool starts_with_legacy_name(json_t *root, const char *name)
{
	const char *key;
	json_t *value;
	json_object_foreach(root, key, value)
	{
		size_t n = strlen(key);
		if (key[n - 1] != ';' && !strncmp(key, name, n)) return true;
	}
	return false;
}

/* Besides the standard's names (with their '&' cut off) there are those in capitals that ftfy knows too: where an
 * all-lower-case name has no capital form of its own, that form means the upper case. These begin with '!'. */
static void pack_html(const char *path, const char *unicode)
{
	read_unicode_data(unicode);
	read_properties(unicode);
	json_error_t problem;
	json_t *root = json_load_file(path, 0, &problem), *value;
	if (!root) die("%s: %s", path, problem.text);
	const char *key;
	json_object_foreach(root, key, value)
	{
		json_t *list = json_object_get(value, "codepoints");
		uint32_t points[4], capitals[12];
		size_t n = json_array_size(list), m = 0;
		for (size_t i = 0; i < n; i++) points[i] = (uint32_t)json_integer_value(json_array_get(list, i));
		add_entity(key + 1, points, n);
		char shout[128];
		snprintf(shout, sizeof shout, "%s", key);
		bool is_lower = shout[strlen(shout) - 1] == ';';
		for (char *p = shout; *p; p++) {
			if (*p >= 'A' && *p <= 'Z') is_lower = false;
			if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 32);
		}
		if (!is_lower || json_object_get(root, shout) || starts_with_legacy_name(root, shout)) continue;
		for (size_t i = 0; i < n; i++) {
			if (!upper[points[i]][0]) upper[points[i]][0] = points[i];
			for (int k = 0; k < 3; k++)
				if (upper[points[i]][k]) capitals[m++] = upper[points[i]][k];
		}
		shout[0] = '!';
		add_entity(shout, capitals, m);
	}
	qsort(entity_lines, entity_count, sizeof *entity_lines, compare_names);
	bytes all = { 0 };
	for (size_t i = 0; i < entity_count; i++) {
		append(&all, entity_lines[i], strlen(entity_lines[i]));
		append(&all, "\n", 1);
	}
	print_packed("html_entities",
	    "html_entities.c - the named characters of HTML 5, \"name code [code]\" a line, in order.", &all);
}

/* ---- Encodings of one byte ---- */

static void print_encodings(void)
{
	static const char *const names[] = { "CP1252", "CP1251", "CP1250", "CP1253", "CP1254", "CP1257", "ISO-8859-2",
		"MACINTOSH", "CP437" };
	printf("/* encodings.c - the upper half of the encodings that text is decoded with by mistake.\n"
	       " * Made by tools/pack-tokenizers.c: do not edit. */\n#include \"text/encodings.h\"\n\n"
	       "/* clang-format off */\nconst uint16_t upper_halves[ENCODINGS][128] = {");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		iconv_t codec = iconv_open("UTF-16LE", names[i]);
		if (codec == (iconv_t)-1) die("iconv knows no %s", names[i]);
		printf("\n\t{");
		for (int b = 0x80; b < 0x100; b++) {
			char from = (char)b, *in = &from;
			uint16_t to[4] = { 0 };
			char *out = (char *)to;
			size_t left = 1, room = sizeof to;
			if (iconv(codec, &in, &left, &out, &room) == (size_t)-1 || !to[0]) to[0] = (uint16_t)b;
			if (!strcmp(names[i], "MACINTOSH") && b == 0xc6) to[0] = 0x2206; /* as Apple's table has it: increment */
			if (!strcmp(names[i], "MACINTOSH") && b == 0xf0) to[0] = 0xf8ff; /* and the apple */
			printf("%s0x%X,", b % 16 ? " " : "\n\t\t", to[0]);
		}
		printf("\n\t},");
		iconv_close(codec);
	}
	printf("\n};\n");
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "clip"))
		pack_clip(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "bert"))
		pack_bert(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "t5"))
		pack_t5(argv[2]);
	else if (argc == 4 && !strcmp(argv[1], "html"))
		pack_html(argv[2], argv[3]);
	else if (argc == 3 && !strcmp(argv[1], "unicode"))
		print_unicode(argv[2]);
	else if (argc == 2 && !strcmp(argv[1], "encodings"))
		print_encodings();
	else
		die("usage: pack-tokenizers clip MERGES | bert VOCABULARY | t5 SPIECE.model | html ENTITIES.json UNICODE | "
		    "unicode UNICODE | "
		    "encodings");
	return 0;
}
