/* serve.c - sumi serve: starts the server and waits for a signal. */
#include "cli/commands.h"
#include "cli/model_options.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef SUMI_SERVER
#include "server/http.h"
#include "server/runs.h"

typedef struct settings {
	text_list models, hosts, towers;
	const char *folder, *listen, *key_file, *controls, *upscalers, *gallery, *training;
	model_settings components;
	machine_settings machine;
	long long most, body, pixels;
	double idle;
	bool quiet;
} settings;
#define AT(field) offsetof(settings, field)

/* clang-format off */
static const option table[] = {
	{ .name = "model", .letter = 'm', .kind = TEXTS, AT(models), .argument = "FILE",
	    .help = "a model to draw with; several may be given (the one that ships with Sumi)" },
	{ .name = "models", .kind = TEXT, AT(folder), .argument = "DIR", .help = "all models in this folder too" },
	{ .name = "control-net-dir", .kind = TEXT, AT(controls), .argument = "DIR",
	    .help = "control networks and IP-Adapters that requests may name" },
	{ .name = "clip-vision", .kind = TEXTS, AT(towers), .argument = "FILE",
	    .help = "the vision tower that IP-Adapters among them were made for; ViT-H and ViT-bigG may both be given" },
	{ .name = "upscale-model-dir", .kind = TEXT, AT(upscalers), .argument = "DIR",
	    .help = "networks that enlarge, which requests may name" },
	{ .name = "listen", .kind = TEXT, AT(listen), .argument = "ADDRESS:PORT", .standard = "127.0.0.1:7860",
	    .help = "where clients connect; :7860 is every address of this machine" },
	{ .name = "host", .kind = TEXTS, AT(hosts), .argument = "NAME",
	    .help = "a name by which clients may call this machine, besides its addresses" },
	{ .name = "api-key", .kind = TEXT, AT(key_file), .argument = "FILE",
	    .help = "clients must give the key in this file (Authorization: Bearer, or a password)" },
	{ .name = "max-queue", .kind = INTEGER, AT(most), 0, 100000, "N", "16", "requests that may wait; more get 429" },
	{ .name = "max-body", .kind = BYTES, AT(body), 1024, 1e12, "BYTES", "64M", "the largest request" },
	{ .name = "max-pixels", .kind = INTEGER, AT(pixels), 1, 1e9, "N", "4194304",
	    "the largest picture, as width times height (2048 x 2048); 16 times as much may be in a request" },
	{ .name = "idle-unload", .kind = NUMBER, AT(idle), 0, 1e6, "MINUTES", "0",
	    "free what sessions keep after so long without a request; 0: never" },
	{ .name = "gallery", .kind = TEXT, AT(gallery), .argument = "DIR",
	    .help = "keep what the page draws in this folder, and show its pictures there" },
	{ .name = "training", .kind = TEXT, AT(training), .argument = "DIR",
	    .help = "its subfolders are data sets that the page may train on; what it makes is found in DIR" },
	MODEL_ROWS(components),
	MACHINE_ROWS(machine),
	{ .name = "quiet", .letter = 'q', .kind = FLAG, AT(quiet), .help = "no line for each request" },
	{ .name = "help", .letter = 'h', .kind = FLAG, AT(quiet), .help = "this text" },
};
/* clang-format on */
enum { ROWS = sizeof table / sizeof *table };

/* The first line of the file. */
static bool read_key(const char *path, char *key, size_t size)
{
	FILE *f = fopen(path, "r");
	bool fine = f && fgets(key, (int)size, f);
	if (f) fclose(f);
	key[fine ? strcspn(key, "\r\n") : 0] = 0;
	return fine && *key && strlen(key) < size - 1; /* a longer line was cut */
}

/* Until SIGINT or SIGTERM; which of both. */
static int wait_for_signal(sigset_t *set)
{
	int number = 0;
	while (sigwait(set, &number)) continue;
	return number;
}

static int run(const settings *s, const queue_options *jobs, const server_options *http)
{
	sumi_error e = { 0 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL); /* for all threads that begin from here on */
	signal(SIGPIPE, SIG_IGN);
	queue *q = queue_new(jobs, &e);
	server *answering = q ? server_start(http, q, &e) : NULL;
	if (answering) {
		if (!s->quiet) {
			const char *colon = strrchr(s->listen, ':');
			fprintf(stderr, "sumi: http://%.*s:%d\n", colon == s->listen ? 9 : (int)(colon - s->listen),
			    colon == s->listen ? "127.0.0.1" : s->listen, server_port(answering));
		}
		int number = wait_for_signal(&set);
		server_refuse(answering);
		queue_stop(q, number == SIGTERM); /* SIGTERM: the picture that is being drawn is finished */
		server_stop(answering);
	}
	if (q && !answering) queue_stop(q, false);
	queue_free(q);
	return e.status ? complain(e.status, "%s", e.text) : 0;
}

int command_serve(int argc, char **argv)
{
	settings s = { 0 };
	char shipped[4096], key[512];
	if (wants_help(argc, argv)) {
		puts("usage: sumi serve [OPTIONS]\n\nAnswers the images API of OpenAI and A1111's API over HTTP until it gets "
		     "SIGTERM "
		     "(the\npicture that is being drawn is finished) or SIGINT (it is not). docs/serve.md says more.\n");
		print_options(table, ROWS);
		return 0;
	}
	int code = parse_options(table, ROWS, &s, NULL, argc, argv);
	if (code) return code;
	if (!s.components.lora_folder) s.components.lora_folder = s.training;
	if (!s.components.embedding_folder) s.components.embedding_folder = s.training;
	if (!s.controls) s.controls = s.training;
	queue_options jobs = { .models = s.models.item,
		.model_count = s.models.count,
		.folder = s.folder,
		.open = model_options(&s.components, &s.machine, NULL),
		.most = (int)s.most,
		.most_pixels = s.pixels,
		.idle_seconds = 60 * s.idle };
	server_options http = {
		.address = s.listen,
		.hosts = s.hosts.item,
		.host_count = s.hosts.count,
		.most_body = s.body,
		.quiet = s.quiet,
		.gallery = s.gallery,
		.vae = s.components.vae,
		.towers = s.towers.item,
		.tower_count = s.towers.count,
		.folders = { [LORAS] = s.components.lora_folder,
		    [WORDS] = s.components.embedding_folder,
		    [CONTROLS] = s.controls,
		    [UPSCALERS] = s.upscalers },
	};
	if (!s.models.count && !s.folder) {
		if (!find_model(NULL, shipped, sizeof shipped)) return 3;
		s.models.item[0] = shipped;
		jobs.model_count = 1;
	}
	if (s.key_file && !read_key(s.key_file, key, sizeof key))
		return complain(3, "%s: no key of 1 to %zu bytes in its first line", s.key_file, sizeof key - 2);
	http.key = s.key_file ? key : NULL;
	sumi_error e = { 0 };
	http.runs = s.training ? runs_open(s.training, &e) : NULL;
	if (e.status) return complain(e.status, "%s", e.text);
	code = run(&s, &jobs, &http);
	runs_close(http.runs);
	return code;
}

#else

int command_serve(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return complain(2, "built without libmicrohttpd: there is no server");
}

#endif
