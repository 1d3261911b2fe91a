/* heldout.c - the emoji that the shipped model's training must never see: models/emoji-heldout.txt by itself, against
 * the list that `emoji-dataset --choose` makes anew, and against the training set that emoji-dataset writes by it.
 *
 *     heldout [EMOJI-DATASET]       exit code 77 where the set cannot be built here: the font or the tables are missing
 */
#include "eval/set.h"
#include "base/file.h"
#include "base/sha256.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77, MOST = 1024, SINGLES = 60 };

static int failures;

#define CHECK(condition, ...)              \
	do {                                   \
		if (!(condition)) {                \
			failures++;                    \
			printf("WRONG: " __VA_ARGS__); \
			putchar('\n');                 \
		}                                  \
	} while (0)

typedef struct held {
	char id[128], base[160], tone[64];
} held;

/* "points; base; tone" a line. */
static int read_list(const char *text, held *list)
{
	int n = 0;
	char line[512];
	for (size_t length; *text && n < MOST; text += length + (text[length] == '\n')) {
		held h = { 0 };
		length = strcspn(text, "\n");
		snprintf(line, sizeof line, "%.*s", (int)length, text);
		if (*line == '#' || !*line) continue;
		int fields = sscanf(line, "%127[^;]; %159[^;]; %63[^\n]", h.id, h.base, h.tone);
		CHECK(fields >= 2, "a line without points and base: %.40s", line);
		list[n++] = h;
	}
	return n;
}

static void check_list(const held *list, int count, int *pairs)
{
	int singles = 0;
	for (int i = 0; i < count; i++) {
		singles += !*list[i].tone;
		CHECK(!*list[i].tone || strstr(list[i].tone, "skin tone"), "%s: tone '%s'", list[i].id, list[i].tone);
		for (int k = 0; k < i; k++) CHECK(strcmp(list[i].id, list[k].id), "%s is listed twice", list[i].id);
	}
	*pairs = count - singles;
	CHECK(singles == SINGLES, "%d emoji without a tone instead of %d", singles, SINGLES);
}

/* Pairs have one tone; the few emoji of two people with two tones are no pairs. */
static bool is_pair(const example *x) { return *x->variant && !strchr(x->variant, ','); }

static const char *name_of(const char *path) { return strrchr(path, '/') + 1; }

static void check_one(const held *h, const example_set *train)
{
	int tones = 0;
	for (int i = 0; i < train->count; i++) {
		const example *x = &train->at[i];
		size_t n = strlen(h->id);
		bool same_base = !strcmp(x->group, h->base);
		CHECK(strncmp(name_of(x->path), h->id, n) || name_of(x->path)[n] != '.', "%s is in training", h->id);
		CHECK(!same_base || strcmp(x->variant, h->tone), "(%s, %s) is in training", h->base, h->tone);
		tones += same_base && is_pair(x);
	}
	CHECK(!*h->tone || tones >= 3, "%s: %d other tones of %s in training", h->id, tones, h->base);
}

/* Some emoji show no skin, and look the same in every tone: no more than these two may be known from another tone. */
static void check_pictures(const example_set *train, const example_set *out)
{
	int known = 0;
	for (int i = 0; i < out->count; i++) {
		char wanted[65], found[65];
		bool same = false;
		if (!sha256_of_file(out->at[i].path, wanted, NULL)) failures++;
		for (int k = 0; k < train->count && !same; k++) {
			if (strcmp(train->at[k].group, out->at[i].group)) continue;
			same = sha256_of_file(train->at[k].path, found, NULL) && !strcmp(wanted, found);
		}
		if (same) printf("%s: its picture is that of another tone in training\n", out->at[i].text);
		known += same;
	}
	CHECK(known <= 2, "%d held-out pictures are in training under another tone", known);
}

static void check_sets(const held *list, int count, int pairs, const example_set *train, const example_set *out)
{
	int all = 0;
	CHECK(out->count == count, "%d pictures are held out, %d are listed", out->count, count);
	for (int i = 0; i < train->count; i++) all += is_pair(&train->at[i]);
	for (int i = 0; i < out->count; i++) all += is_pair(&out->at[i]);
	CHECK(pairs * 10 >= all && pairs * 10 < all + 10, "%d of %d pairs are held out: not a tenth", pairs, all);
	for (int i = 0; i < count; i++) check_one(&list[i], train);
	for (int i = 0; i < out->count; i++) {
		int k = 0;
		while (k < count && (strcmp(list[k].base, out->at[i].group) || strcmp(list[k].tone, out->at[i].variant))) k++;
		CHECK(k < count, "%s is held out and not listed", out->at[i].path);
	}
	check_pictures(train, out);
	printf("%d pictures for training, %d held out: %d of %d pairs and %d without a tone\n", train->count, out->count,
	    pairs, all, count - pairs);
}

static bool can_build(const char *tool)
{
	static const char *const needed[][2] = {
		{ "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf", "fonts-noto-color-emoji" },
		{ "/usr/share/unicode/emoji/emoji-test.txt", "unicode-data" },
		{ "/usr/share/unicode/cldr/common/annotations/en.xml", "unicode-cldr-core" },
	};
	if (!tool) printf("skipped: emoji-dataset was not built (packages libharfbuzz-dev libfreetype-dev)\n");
	for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
		if (tool && access(needed[i][0], R_OK)) {
			printf("skipped: no %s (package %s)\n", needed[i][0], needed[i][1]);
			tool = NULL;
		}
	return tool != NULL;
}

static bool run(const char *format, const char *tool, const char *folder)
{
	char command[2048];
	snprintf(command, sizeof command, format, tool, folder);
	int code = system(command);
	CHECK(code == 0, "%s: exit code %d", command, WEXITSTATUS(code));
	return code == 0;
}

static void check_training(const char *tool, const held *list, int count, int pairs)
{
	char folder[] = "/tmp/sumi-heldout-XXXXXX", path[128];
	example_set train = { 0 }, out = { 0 };
	error e = { 0 };
	if (!mkdtemp(folder)) exit(1);
	run("'%s' --choose | cmp - " SOURCE_DIR "/models/emoji-heldout.txt", tool, "");
	if (run("'%s' " SOURCE_DIR "/models/emoji-heldout.txt '%s'", tool, folder)) {
		snprintf(path, sizeof path, "%s/train", folder);
		bool fine = example_set_read(&train, path, "base", "tone", &e);
		snprintf(path, sizeof path, "%s/heldout", folder);
		fine = fine && example_set_read(&out, path, "base", "tone", &e);
		CHECK(fine, "%s", e.text);
		if (fine) check_sets(list, count, pairs, &train, &out);
	}
	example_set_free(&train);
	example_set_free(&out);
	run("%srm -rf '%s'", "", folder);
}

int main(int argc, char **argv)
{
	static held list[MOST];
	error e = { 0 };
	int pairs;
	char *text = whole_file(SOURCE_DIR "/models/emoji-heldout.txt", 1 << 20, NULL, &e);
	if (!text) return printf("%s\n", e.text), 1;
	int count = read_list(text, list);
	free(text);
	check_list(list, count, &pairs);
	const char *tool = argc > 1 ? argv[1] : NULL;
	bool buildable = can_build(tool);
	if (buildable) check_training(tool, list, count, pairs);
	if (failures) return 1;
	return buildable ? 0 : SKIPPED;
}
