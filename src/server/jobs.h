/* jobs.h - what the server makes: a queue with a limit, one thread that draws, and the models that it draws with. */
#ifndef SUMI_SERVER_JOBS_H
#define SUMI_SERVER_JOBS_H
#include "server/models.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { MOST_PICTURES = 64, MOST_CONTROLS = 8, MOST_IP_ADAPTERS = 4, MOST_WORDS = 64 }; /* of one job */

typedef enum job_state { WAITING, RUNNING, DONE } job_state;

/* A request for pictures. The first part is set before it is submitted and does not change afterwards; the second is
 * the queue's, to be read between queue_lock() and queue_unlock(), or when the job is DONE. */
typedef struct job {
	char *model; /* its name; NULL: the one in use. Owned */
	/* Owned in it: prompts, sampler, schedule, refiner, hires_upscaler, init and mask, and what `control` and
	 * `ip_adapter` name, but their vision towers. Other texts are static. */
	sumi_options options;
	sumi_control control[MOST_CONTROLS];
	const sumi_control *controls[MOST_CONTROLS]; /* what options.controls is */
	bool control_is_shown[MOST_CONTROLS];        /* what the control read is answered behind the pictures, unless */
	bool hides_maps;                             /* none is */
	sumi_ip_adapter ip_adapter[MOST_IP_ADAPTERS];
	const sumi_ip_adapter *ip_adapters[MOST_IP_ADAPTERS]; /* what options.ip_adapters is */
	const char *words[MOST_WORDS]; /* what options.attention_words is where there are any; owned */
	int count; /* pictures, with the seeds seed, seed + 1, …; variations of one seed where variation_strength is set */
	/* What makes the picture in the queue's thread, in place of drawing one. NULL: it is drawn. */
	sumi_image *(*make)(struct job *j, const sumi_listener *l, sumi_error *e);
	bool followed; /* whoever waits for it is woken at each step, not only when it is DONE */

	job_state state;
	bool cancelled;
	char stage[16];
	int step, steps;
	double begun;        /* when drawing began, seconds of seconds_now() */
	sumi_image *preview; /* the newest, of the first picture; NULL: none yet */
	int previews;        /* how many there were */
	sumi_image *pictures[MOST_PICTURES];
	sumi_error error;
	char *drawn_with; /* the model's name; owned */
	struct job *next;
	pthread_cond_t changed;
	atomic_int holders; /* whoever submitted it, and the thread that draws it */
} job;

job *job_new(void); /* with sumi_defaults() and one picture; NULL: no memory */
/* Leaves it, which is not submitted, or DONE; its last holder frees it. NULL may be freed. */
void job_free(job *j);
bool job_text(const char **field, const char *text); /* sets a text of its options to a copy; false: no memory */
/* Counts the control behind its others, to be filled in. NULL: it has MOST_CONTROLS. */
sumi_control *job_add_control(job *j);
sumi_ip_adapter *job_add_ip_adapter(job *j); /* the same; NULL: it has MOST_IP_ADAPTERS */

typedef struct queue queue;

typedef struct queue_options {
	const char *const *models; /* paths of files; their names are the files' without ending */
	int model_count;
	const char *folder; /* all models in it too; NULL: none */
	sumi_model_options open;
	int most;            /* jobs that may wait */
	int64_t most_pixels; /* of a picture; 16 times as many of a job */
	double idle_seconds; /* after which sessions are freed; 0: never */
} queue_options;

/* Opens the first model, so that a server that cannot draw does not start. NULL: it failed. */
queue *queue_new(const queue_options *o, sumi_error *e);
/* Ends what runs (at its next step, unless it may finish) and waits for it; jobs that wait are DONE with SUMI_STOPPED.
 */
void queue_stop(queue *q, bool finish);
void queue_free(queue *q); /* stopped, and no job of it is used any more. NULL may be freed */

typedef enum submitted { ACCEPTED, FULL, STOPPING, UNKNOWN_MODEL, TOO_LARGE } submitted;
submitted queue_submit(queue *q, job *j);
int64_t queue_most_pixels(const queue *q);
void queue_lock(queue *q);
void queue_unlock(queue *q);
/* Waits at most so long for a change of this job. To be called between lock and unlock. */
void queue_wait(queue *q, job *j, double seconds);
void queue_cancel(queue *q, job *j);            /* between lock and unlock; one that waits is DONE at once */
int queue_before(const queue *q, const job *j); /* between lock and unlock: how many go before one that waits */
void queue_use(queue *q, int model);            /* from now on for jobs that name none */
void queue_interrupt(queue *q);                 /* cancels what runs now: of jobs that are drawn together, the first */

typedef struct queue_status {
	int waiting;    /* jobs */
	job *running;   /* the first of those that are drawn together; valid between lock and unlock; NULL: none */
	int together;   /* how many are */
	uint64_t bytes; /* that sessions keep */
	uint64_t jobs, pictures, failed, cancelled, refused; /* since the start */
	uint64_t batches;                                    /* of jobs that were drawn together, or alone */
	double busy;                                         /* seconds of drawing */
	const char *model;                                   /* in use: what jobs that name none are drawn with */
} queue_status;
void queue_report(queue *q, queue_status *s); /* between lock and unlock */

void queue_unload(queue *q); /* what sessions keep is freed, once nothing is drawn */
/* Adds the models that were put into the folder since. False: it cannot be read. */
bool queue_refresh(queue *q, sumi_error *e);

/* Models that may be asked for, in the order of their list: those that are there do not change. */
int queue_model_count(const queue *q);
const char *queue_model_name(const queue *q, int i);
const char *queue_model_path(const queue *q, int i);
const char *queue_folder(const queue *q);                      /* of models; NULL: none */
const sumi_model_options *queue_model_options(const queue *q); /* all are opened with */
/* Calls `use` with a model, opened where it is not. False: it could not be opened, or `use` said so. */
bool queue_with_model(queue *q, int i, model_use *use, void *context, sumi_error *e);
int queue_find_model(const queue *q, const char *name); /* by name or file name; -1: none */

#endif
