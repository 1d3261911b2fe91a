/* http.h - requests and replies over libmicrohttpd, a thread for each connection: who may ask, how much, how long. */
#ifndef SUMI_SERVER_HTTP_H
#define SUMI_SERVER_HTTP_H
#include "base/buffer.h"
#include "server/folders.h"
#include "server/jobs.h"
#include <jansson.h>
#include <microhttpd.h>

enum { MOST_PARTS = 24, MOST_TEXT = 65536 /* bytes of a prompt */ };

typedef struct part { /* of multipart/form-data */
	char *name;
	buffer data;
} part;

typedef struct request {
	struct MHD_Connection *connection;
	const char *path;
	json_t *json; /* the body; NULL: it has none, or is a form */
	part parts[MOST_PARTS];
	int part_count;
	const struct route *route;
	/* while it is received */
	char *method, *url;
	struct MHD_PostProcessor *form;
	buffer body;
	double begun;
	int refused; /* the status to answer with; 0: fine */
	const char *reason;
	char where[256]; /* of the reason, where it is made up */
} request;

typedef struct reply {
	int status;       /* 200 */
	const char *type; /* "application/json" */
	buffer body;
	struct MHD_Response *stream; /* in place of a body; NULL: none */
	int retry_after;             /* seconds; 0: not said */
} reply;

typedef struct server server;
typedef void handler(server *s, request *r, reply *y);

typedef struct route {
	const char *method, *path; /* a path that ends in '/' takes all below it */
	handler *run;
	enum access { KEYED, OPEN } access; /* OPEN: to clients without the key */
} route;
const route *route_find(const char *method, const char *path); /* NULL: no such address, or it takes another method */
void route_methods(const char *path, char list[64]);           /* "GET, HEAD"; "": no such address */

const char *request_header(const request *r, const char *name); /* NULL: it has none */
void reply_json(reply *y, int status, json_t *value);           /* value is released */
/* Draws the job, waiting for its end; cancels it where the client leaves. The job is DONE afterwards unless it was not
 * accepted. */
submitted draw_for(server *s, request *r, job *j);
/* Whether the client waits for us, for as long as it takes, or we for the client, who is cut off if it is slow. */
void client_waits(const request *r, bool waits);
/* Between queue_lock() and queue_unlock(): waits a moment for a change of the job; cancels it where the client has
 * left. */
void wait_for_change(server *s, const request *r, job *j);

queue *server_queue(server *s);
const char *server_gallery(const server *s); /* the folder where the page's pictures are kept; NULL: nowhere */
struct runs *server_runs(const server *s);   /* that the page trains; NULL: none */
double server_started(const server *s);
const char *server_folder(const server *s, folder_kind which); /* NULL: there is none */
/* The vision tower that a request for an IP-Adapter means: of several, ViT-bigG is the widest and ViT-H the narrowest.
 * NULL: there is none. */
const char *server_tower(const server *s, bool widest);
const char *server_vae(const server *s); /* its file's name; NULL: models have their own */
int server_clip_skip(server *s);         /* of A1111's settings; 0: as the model has it */
void server_set_clip_skip(server *s, int skip);
/* Keeps a copy of a file for an hour or until 64 newer ones are there; its name goes to `name`. False: no memory. */
bool server_keep(server *s, const char *ending, const void *bytes, size_t count, char name[48]);
bool server_kept(server *s, const char *name, buffer *copy); /* false: not there any more */

typedef struct server_options {
	const char *address;      /* "127.0.0.1:7860", "[::1]:7860", ":7860": all of IPv4, "[::]:7860": all */
	const char *key;          /* clients must give it; NULL: none */
	const char *const *hosts; /* further names by which clients may call this server */
	int host_count;
	long long most_body;          /* bytes of a request */
	const char *folders[FOLDERS]; /* NULL: none */
	const char *const *towers;    /* CLIP vision towers that IP-Adapters were made for */
	int tower_count;
	const char *vae;     /* the autoencoder of all models; NULL: their own */
	bool quiet;          /* no log */
	const char *gallery; /* folder where the pictures that the page draws are kept; NULL: nowhere */
	struct runs *runs;   /* what the page may train; NULL: nothing */
} server_options;

const server_options *server_options_of(const server *s);
bool server_is_local(const server *s); /* whether it listens to this machine alone */
/* Answers in threads of its own from here on. NULL: it failed. */
server *server_start(const server_options *o, queue *q, sumi_error *e);
int server_port(const server *s);
void server_refuse(server *s); /* takes no further connections; those that are open are answered */
void server_stop(server *s);   /* waits for the answers that are being written */

#endif
