/* runs.c - starts and stops the process of a run. What a run is and how far it came is read from its files, so that it
 * survives the server. */
#include "server/runs.h"
#include "server/run_files.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct runs {
	char *folder;
	pthread_mutex_t lock; /* of the rest */
	pid_t child;          /* 0: none */
	char name[RUN_NAME];  /* of its run, or of the last one's */
	bool stopping;
	int code; /* how the last one ended; 0: well */
};

static bool refuse(sumi_error *e, sumi_status status, const char *text, const char *detail)
{
	e->status = status;
	snprintf(e->text, sizeof e->text, "%s%s", text, detail);
	return false;
}

runs *runs_open(const char *folder, sumi_error *e)
{
	struct stat s;
	runs *r = calloc(1, sizeof *r);
	if (r) r->folder = realpath(folder, NULL);
	if (r && r->folder && !stat(r->folder, &s) && S_ISDIR(s.st_mode)) {
		pthread_mutex_init(&r->lock, NULL);
		return r;
	}
	if (r) free(r->folder);
	free(r);
	refuse(e, SUMI_BAD_FILE, folder, ": not a folder whose subfolders are data sets");
	return NULL;
}

/* In the lock: notices that the process has ended. */
static void look(runs *r)
{
	int status;
	if (!r->child || waitpid(r->child, &status, WNOHANG) != r->child) return;
	r->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
	r->child = 0;
}

void runs_close(runs *r)
{
	if (!r) return;
	if (r->child && !kill(r->child, SIGTERM)) waitpid(r->child, NULL, 0);
	pthread_mutex_destroy(&r->lock);
	free(r->folder);
	free(r);
}

const char *runs_folder(const runs *r) { return r->folder; }
json_t *runs_sets(const runs *r) { return run_files_sets(r->folder); }

/* ── how far they are ── */

static const char *state_of(runs *r, const char *name)
{
	pthread_mutex_lock(&r->lock);
	look(r);
	bool ours = !strcmp(name, r->name);
	const char *state = ours && r->child                                  ? r->stopping ? "stopping" : "running"
	                    : run_files_done(r->folder, name)                 ? "done"
	                    : ours && r->code && r->code != (int)SUMI_STOPPED ? "failed"
	                                                                      : "stopped";
	pthread_mutex_unlock(&r->lock);
	return state;
}

json_t *runs_list(runs *r)
{
	json_t *list = run_files_list(r->folder), *one;
	size_t i;
	json_array_foreach(list, i, one)
	    json_object_set_new(one, "state", json_string(state_of(r, json_string_value(json_object_get(one, "name")))));
	return list;
}

json_t *runs_describe(runs *r, const char *name)
{
	json_t *one = run_files_describe(r->folder, name);
	if (one) json_object_set_new(one, "state", json_string(state_of(r, name)));
	return one;
}

bool runs_sample(const runs *r, const char *name, const char *file, buffer *bytes)
{
	return run_files_sample(r->folder, name, file, bytes);
}

/* ── starting ── */

bool runs_option(const char *kind, const char *name, sumi_training_option *o)
{
	static const char *const names[] = { "max_train_steps", "learning_rate", "network_dim", "resolution",
		"train_batch_size", "instance_prompt", "placeholder_token", "initializer_token", "num_vectors",
		"validation_prompts", "validation_steps", "validation_inference_steps", "checkpointing_steps",
		"gradient_accumulation_steps", "random_flip", "lr_scheduler", "lr_warmup_steps", "optimizer", "mixed_precision",
		"gradient_checkpointing", "train_text_encoder", "use_ema", "snr_gamma", "noise_offset", "caption_dropout",
		"network_alpha", "network_conv", "seed" };
	*o = (sumi_training_option){ .size = sizeof *o };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (!strcmp(name, names[i])) return sumi_training_find(kind, name, o, NULL);
	return false;
}

/* What the page gives, checked by the library, into `all`. */
static void take_options(json_t *all, const run_request *q, const char **wrong, sumi_error *e)
{
	const char *option;
	const json_t *value;
	sumi_training_option o;
	sumi_training *check = sumi_training_new(q->kind, e);
	json_object_foreach((json_t *)(uintptr_t)q->options, option, value)
	{
		const char *text = json_string_value(value);
		if (e->status || !text || !*text) continue;
		if (!runs_option(q->kind, option, &o)) refuse(e, SUMI_BAD_USAGE, "no such option here: ", option);
		if (sumi_training_set(check, option, text, e)) json_object_set_new(all, option, json_string(text));
		if (e->status) *wrong = option;
	}
	sumi_training_free(check);
}

/* All options of a run: what is given, and what the server chooses. NULL: refused. */
static json_t *all_options(const runs *r, const run_request *q, const char *name, const char **wrong, sumi_error *e)
{
	char data[RUN_PATH], hints[RUN_PATH], output[RUN_PATH];
	json_t *all = json_object();
	take_options(all, q, wrong, e);
	bool fine = run_path(data, r->folder, q->set, "", "") && run_path(hints, r->folder, q->hints, "", "") &&
	            run_path(output, r->folder, name, ".safetensors", "");
	if (!e->status && !fine) refuse(e, SUMI_BAD_FILE, r->folder, ": the path is too long");
	json_object_set_new(all, "train_data_dir", json_string(data));
	if (!strcmp(q->kind, "controlnet")) json_object_set_new(all, "conditioning_data_dir", json_string(hints));
	/* Prompts know a word by its file's name, so it learns by that one unless captions have another. */
	if (!strcmp(q->kind, "embedding") && !json_object_get(all, "placeholder_token"))
		json_object_set_new(all, "placeholder_token", json_string(name));
	json_object_set_new(all, "model", json_string(q->model));
	json_object_set_new(all, "output", json_string(output));
	json_object_set_new(all, "log_steps", json_string("1"));
	if (!e->status) return all;
	json_decref(all);
	return NULL;
}

/* The process, in a group of its own, so that a terminal's signals reach it through the server alone. */
static bool spawn(runs *r, const char *kind, const char *name, bool resume, sumi_error *e)
{
	char options[RUN_PATH], log[RUN_PATH];
	const char *words[] = { "sumi", "train", kind, "--config", options, resume ? "--resume_from_checkpoint" : NULL,
		"latest", NULL };
	sigset_t none, pipes;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	if (!run_path(options, r->folder, name, ".json", "") || !run_path(log, r->folder, name, ".log", ""))
		return refuse(e, SUMI_BAD_FILE, r->folder, ": the path is too long");
	sigemptyset(&none);
	sigemptyset(&pipes);
	sigaddset(&pipes, SIGPIPE);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&how);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 2, log, O_WRONLY | O_CREAT | (resume ? O_APPEND : O_TRUNC), 0666);
	posix_spawn_file_actions_adddup2(&files, 2, 1);
	posix_spawnattr_setsigmask(&how, &none);
	posix_spawnattr_setsigdefault(&how, &pipes);
	posix_spawnattr_setpgroup(&how, 0);
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	int failure = posix_spawn(&r->child, "/proc/self/exe", &files, &how, (char **)(uintptr_t)words, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&how);
	if (!failure) return true;
	r->child = 0;
	return refuse(e, SUMI_BAD_FILE, "the run could not be started: ", strerror(failure));
}

/* Of a request, before its options. */
static bool check(const runs *r, const run_request *q, const char **wrong, sumi_error *e)
{
	if (r->child) return refuse(e, SUMI_BAD_USAGE, "a run is going on: ", r->name);
	*wrong = "kind";
	if (!run_is_kind(q->kind)) return refuse(e, SUMI_BAD_USAGE, "no such kind of run: ", q->kind);
	*wrong = "set";
	if (!run_files_has_set(r->folder, q->set)) return refuse(e, SUMI_BAD_FILE, "no such data set: ", q->set);
	*wrong = "hints";
	if (!strcmp(q->kind, "controlnet") && !run_files_has_set(r->folder, q->hints))
		return refuse(e, SUMI_BAD_FILE, *q->hints ? "no such data set: " : "no pictures to follow", q->hints);
	*wrong = "";
	return true;
}

/* In the lock. */
static bool start(runs *r, const run_request *q, const char **wrong, sumi_error *e)
{
	char name[RUN_NAME];
	look(r);
	if (!check(r, q, wrong, e)) return false;
	if (snprintf(name, sizeof name, "%s-%s", q->set, q->kind) >= (int)sizeof name)
		return refuse(e, SUMI_BAD_USAGE, "the name is too long: ", q->set);
	json_t *options = all_options(r, q, name, wrong, e);
	if (!options) return false;
	bool resume = run_files_resumable(r->folder, name, options);
	bool fine = run_files_write_options(r->folder, name, options, e) && spawn(r, q->kind, name, resume, e);
	json_decref(options);
	if (!fine) return false;
	snprintf(r->name, sizeof r->name, "%s", name);
	r->stopping = false;
	r->code = 0;
	return true;
}

bool runs_start(runs *r, const run_request *q, const char **wrong, sumi_error *e)
{
	*wrong = "";
	pthread_mutex_lock(&r->lock);
	bool fine = start(r, q, wrong, e);
	pthread_mutex_unlock(&r->lock);
	return fine;
}

bool runs_stop(runs *r, const char *name)
{
	pthread_mutex_lock(&r->lock);
	look(r);
	bool runs_now = r->child && !strcmp(name, r->name);
	if (runs_now && !r->stopping) r->stopping = !kill(r->child, SIGTERM); /* a second signal would end it at once */
	pthread_mutex_unlock(&r->lock);
	return runs_now;
}
