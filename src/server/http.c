/* http.c - libmicrohttpd's callbacks: receive, check, find the route, answer, write a line to the log. */
#include "server/http.h"
#include "server/admit.h"
#include "base/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	KEPT = 64,
	MOST_VALUES = 10000,
	KEPT_SECONDS = 3600,
	CONNECTIONS = 128,
	PATIENCE = 30,
	BODY_SECONDS = 300,
	LAST_SECONDS = 30
};

typedef struct kept {
	char name[48];
	buffer data;
	double since;
} kept;

struct server {
	struct MHD_Daemon *daemon;
	queue *queue;
	server_options o;
	bool loopback;
	int port;
	const char *narrow_tower, *wide_tower; /* of o.towers */
	double started;
	atomic_int clip_skip;
	pthread_mutex_t lock; /* of the rest */
	int requests;         /* that are being received or answered */
	kept kept[KEPT];
	int next;
};

queue *server_queue(server *s) { return s->queue; }
const char *server_gallery(const server *s) { return s->o.gallery; }
struct runs *server_runs(const server *s) { return s->o.runs; }
const server_options *server_options_of(const server *s) { return &s->o; }
bool server_is_local(const server *s) { return s->loopback; }
double server_started(const server *s) { return s->started; }
const char *server_folder(const server *s, folder_kind which) { return s->o.folders[which]; }
int server_clip_skip(server *s) { return atomic_load(&s->clip_skip); }
void server_set_clip_skip(server *s, int skip) { atomic_store(&s->clip_skip, skip); }

/* The width of a vision tower, in Hugging Face's names or OpenCLIP's; 0: its file does not say it. */
static json_int_t width_of_tower(const char *path)
{
	char inside[4096];
	snprintf(inside, sizeof inside, "%s/model.safetensors", path);
	json_t *header = header_of(path), *value;
	if (!header) header = header_of(inside);
	json_int_t width = 0;
	const char *key;
	json_object_foreach(header, key, value)
	{
		const char *end = strstr(key, "class_embedding");
		if (end && !strcmp(end, "class_embedding"))
			width = json_integer_value(json_array_get(json_object_get(value, "shape"), 0));
	}
	json_decref(header);
	return width;
}

const char *server_tower(const server *s, bool widest) { return widest ? s->wide_tower : s->narrow_tower; }

static const char *choose_tower(const server *s, bool widest)
{
	const char *found = NULL;
	json_int_t best = 0;
	for (int i = 0; i < s->o.tower_count; i++) {
		json_int_t width = width_of_tower(s->o.towers[i]);
		if (found && (widest ? width <= best : width >= best)) continue;
		found = s->o.towers[i];
		best = width;
	}
	return found;
}

const char *server_vae(const server *s)
{
	const char *slash = s->o.vae ? strrchr(s->o.vae, '/') : NULL;
	return slash ? slash + 1 : s->o.vae;
}

int server_port(const server *s) { return s->port; }

/* ── replies ── */

void reply_json(reply *y, int status, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	json_decref(value);
	y->status = text ? status : 500;
	y->body.size = 0;
	buffer_add_text(&y->body, text ? text : "{\"error\":\"out of memory\"}");
	free(text);
}

const char *request_header(const request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result send_reply(request *r, reply *y)
{
	static const struct {
		const char *name, *value;
	} always[] = { { "Cache-Control", "no-store" }, { "X-Content-Type-Options", "nosniff" },
		{ "Referrer-Policy", "no-referrer" }, { "X-Frame-Options", "DENY" },
		{ "Content-Security-Policy",
		    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
		    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" } };
	struct MHD_Response *response = y->stream;
	char seconds[16], methods[64];
	if (!response) {
		response = MHD_create_response_from_buffer(y->body.size, y->body.data, MHD_RESPMEM_MUST_FREE);
		if (!response) free(y->body.data);
	}
	if (!response) return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, y->type);
	for (size_t i = 0; i < sizeof always / sizeof *always; i++)
		MHD_add_response_header(response, always[i].name, always[i].value);
	snprintf(seconds, sizeof seconds, "%d", y->retry_after);
	if (y->retry_after) MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	route_methods(r->path, methods);
	if (y->status == 405) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, methods);
	if (y->status == 401) MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	enum MHD_Result result = MHD_queue_response(r->connection, (unsigned)y->status, response);
	MHD_destroy_response(response);
	return result;
}

/* ── receiving ── */

static enum MHD_Result take_part(void *context, enum MHD_ValueKind kind, const char *name, const char *file,
    const char *type, const char *encoding, const char *data, uint64_t offset, size_t size)
{
	request *r = context;
	(void)kind;
	(void)file;
	(void)type;
	(void)encoding;
	part *p = r->part_count ? r->parts + r->part_count - 1 : NULL;
	if (!name) return MHD_NO; /* a part need not have one */
	if (!p || !offset || strcmp(p->name, name)) {
		if (r->part_count == MOST_PARTS) return MHD_NO;
		p = r->parts + r->part_count;
		*p = (part){ .name = strdup(name) };
		if (!p->name) return MHD_NO;
		r->part_count++;
	}
	buffer_add(&p->data, data, size);
	return p->data.failed ? MHD_NO : MHD_YES;
}

static void count_requests(server *s, int more)
{
	pthread_mutex_lock(&s->lock);
	s->requests += more;
	pthread_mutex_unlock(&s->lock);
}

static request *begin(server *s, struct MHD_Connection *c, const char *url, const char *method)
{
	request *r = calloc(1, sizeof *r);
	if (!r) return NULL;
	*r = (request){ .connection = c, .method = strdup(method), .url = strdup(url), .begun = seconds_now() };
	if (!r->method || !r->url) {
		free(r->method);
		free(r->url);
		free(r);
		return NULL;
	}
	count_requests(s, 1);
	r->path = r->url;
	admit(s, r);
	const char *type = request_header(r, "Content-Type");
	if (!r->refused && type && !strncasecmp(type, "multipart/form-data", 19))
		r->form = MHD_create_post_processor(c, 65536, take_part, r);
	return r;
}

/* A refusal is read by most clients only once they have sent everything. False: this one sends for too long. */
static bool receive(server *s, request *r, const char *data, size_t size)
{
	double taken = seconds_now() - r->begun;
	if (r->refused) return taken < BODY_SECONDS + PATIENCE;
	if (r->body.size + size > (size_t)s->o.most_body) {
		r->refused = 413;
		r->reason = "the request is larger than this server takes";
	} else if (taken > BODY_SECONDS) {
		r->refused = 408;
		r->reason = "the request took too long to arrive";
	} else if (r->form) {
		r->body.size += size; /* counted, not kept */
		if (MHD_post_process(r->form, data, size) == MHD_YES) return true;
		r->refused = 400;
		r->reason = "not a form that can be read";
	} else {
		buffer_add(&r->body, data, size);
		if (!r->body.failed) return true;
		r->refused = 503;
		r->reason = "out of memory";
	}
	return true;
}

/* A value of two bytes takes a hundred once it is read. */
static bool has_too_many_values(const buffer *b)
{
	size_t values = 0;
	bool text = false;
	for (size_t i = 0; i < b->size; i++) {
		char c = b->data[i];
		if (text && c == '\\')
			i++;
		else if (c == '"')
			text = !text;
		else if (!text && (c == ',' || c == '[' || c == '{'))
			values++;
	}
	return values > MOST_VALUES;
}

static void read_json(request *r)
{
	json_error_t wrong = { .text = "" };
	const char *text = r->body.data;
	size_t size = r->body.size;
	if (r->form || r->refused || strcmp(r->route->method, "POST")) return;
	if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) text += 3, size -= 3; /* a byte order mark */
	if (!size) return;
	if (has_too_many_values(&r->body)) {
		r->refused = 400;
		r->reason = "the body holds more values than any request needs";
		return;
	}
	r->json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &wrong);
	if (json_is_object(r->json)) return;
	if (json_is_null(r->json)) { /* some clients send it for no body */
		r->json = NULL;
		return;
	}
	r->refused = 400;
	r->reason = "the body is JSON, but not an object";
	if (r->json) return;
	snprintf(r->where, sizeof r->where, "the body is not JSON: line %d, column %d: %s", wrong.line, wrong.column,
	    wrong.text);
	r->reason = r->where;
}

static void write_log(server *s, const request *r, int status)
{
	const union MHD_ConnectionInfo *client = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	char from[64] = "", when[32];
	time_t t = time(NULL);
	struct tm utc;
	if (s->o.quiet) return;
	if (client) {
		socklen_t n =
		    client->client_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
		getnameinfo(client->client_addr, n, from, sizeof from, NULL, 0, NI_NUMERICHOST);
	}
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
	json_t *line = json_pack("{s:s, s:s, s:o?, s:o?, s:i, s:i}", "time", when, "client", from, "method",
	    json_string(r->method), "path", json_string(r->path) /* NULL: not UTF-8 */, "status", status, "ms",
	    (int)(1000 * (seconds_now() - r->begun)));
	char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
	if (text) fprintf(stderr, "%s\n", text);
	free(text);
	json_decref(line);
}

static enum MHD_Result answer(server *s, request *r)
{
	reply y = { .status = 200, .type = "application/json" };
	read_json(r);
	if (!r->refused)
		r->route->run(s, r, &y);
	else
		reply_json(&y, r->refused,
		    json_pack("{s:{s:s, s:s, s:n, s:n}, s:s}", "error", "message", r->reason, "type",
		        r->refused == 401 ? "authentication_error" : "invalid_request_error", "param", "code", "detail",
		        r->reason));
	if (y.body.failed) y.status = 503;
	write_log(s, r, y.status);
	return send_reply(r, &y);
}

static enum MHD_Result access_handler(void *context, struct MHD_Connection *c, const char *url, const char *method,
    const char *version, const char *data, size_t *size, void **state)
{
	server *s = context;
	request *r = *state;
	(void)version;
	if (!r) {
		*state = r = begin(s, c, url, method);
		if (!r) return MHD_NO;
		return r->refused ? answer(s, r) : MHD_YES; /* before the body is sent */
	}
	if (!*size) return answer(s, r);
	bool more = receive(s, r, data, *size);
	*size = 0;
	return more ? MHD_YES : MHD_NO;
}

static void forget(void *context, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why)
{
	request *r = *state;
	(void)c;
	(void)why;
	if (!r) return;
	count_requests(context, -1);
	if (r->form) MHD_destroy_post_processor(r->form);
	for (int i = 0; i < r->part_count; i++) {
		free(r->parts[i].name);
		free(r->parts[i].data.data);
	}
	json_decref(r->json);
	free(r->body.data);
	free(r->method);
	free(r->url);
	free(r);
}

/* ── drawing ── */

static bool client_left(const request *r)
{
	const union MHD_ConnectionInfo *i = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct pollfd p = { .fd = i ? i->connect_fd : -1, .events = POLLRDHUP };
	return i && poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

void client_waits(const request *r, bool waits)
{
	MHD_set_connection_option(r->connection, MHD_CONNECTION_OPTION_TIMEOUT, waits ? 0u : (unsigned)PATIENCE);
}

void wait_for_change(server *s, const request *r, job *j)
{
	queue_wait(s->queue, j, 0.25);
	if (client_left(r)) queue_cancel(s->queue, j);
}

submitted draw_for(server *s, request *r, job *j)
{
	queue *q = s->queue;
	submitted done = queue_submit(q, j);
	if (done != ACCEPTED) return done;
	client_waits(r, true);
	queue_lock(q);
	while (j->state != DONE) wait_for_change(s, r, j);
	queue_unlock(q);
	client_waits(r, false);
	return ACCEPTED;
}

/* ── pictures kept for a while ── */

bool server_keep(server *s, const char *ending, const void *bytes, size_t count, char name[48])
{
	unsigned char random[16];
	kept k = { .since = seconds_now() };
	if (getrandom(random, sizeof random, 0) != sizeof random) return false;
	for (int i = 0; i < 16; i++) snprintf(k.name + 2 * i, 3, "%02x", random[i]);
	snprintf(k.name + 32, sizeof k.name - 32, ".%.8s", ending);
	buffer_add(&k.data, bytes, count);
	if (k.data.failed) return false;
	snprintf(name, 48, "%s", k.name);
	pthread_mutex_lock(&s->lock);
	free(s->kept[s->next].data.data);
	s->kept[s->next] = k;
	s->next = (s->next + 1) % KEPT;
	pthread_mutex_unlock(&s->lock);
	return true;
}

bool server_kept(server *s, const char *name, buffer *copy)
{
	bool found = false;
	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < KEPT && !found; i++) {
		kept *k = s->kept + i;
		if (!k->data.data || strcmp(k->name, name) || seconds_now() - k->since > KEPT_SECONDS) continue;
		buffer_add(copy, k->data.data, k->data.size);
		found = !copy->failed;
	}
	pthread_mutex_unlock(&s->lock);
	return found;
}

/* ── life ── */

static bool failure(sumi_error *e, sumi_status status, const char *text, const char *detail)
{
	e->status = status;
	snprintf(e->text, sizeof e->text, "%s: %s", text, detail);
	return false;
}

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static bool listen_at(server *s, const char *address, sumi_error *e)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE },
	                *found = NULL;
	const char *colon = strrchr(address, ':');
	char host[256];
	if (!colon || !colon[1]) return failure(e, SUMI_BAD_USAGE, address, "not ADDRESS:PORT, such as 127.0.0.1:7860");
	snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
	if (*host == '[' && host[strlen(host) - 1] == ']') {
		memmove(host, host + 1, strlen(host));
		host[strlen(host) - 1] = 0;
	}
	int wrong = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found);
	if (wrong) return failure(e, SUMI_BAD_USAGE, address, gai_strerror(wrong));
	s->loopback = is_loopback(found->ai_addr);
	int on = 1, fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_storage bound;
	socklen_t n = sizeof bound;
	bool fine = fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) &&
	            !bind(fd, found->ai_addr, found->ai_addrlen) && !listen(fd, CONNECTIONS) &&
	            !getsockname(fd, (struct sockaddr *)(void *)&bound, &n);
	int code = errno;
	freeaddrinfo(found);
	if (!fine) {
		if (fd >= 0) close(fd);
		return failure(e, SUMI_BAD_USAGE, address, strerror(code));
	}
	s->port = ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&bound)->sin6_port
	                                            : ((struct sockaddr_in *)(void *)&bound)->sin_port);
	s->daemon =
	    MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL | MHD_USE_ITC,
	        0, NULL, NULL, access_handler, s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
	        (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)PATIENCE, MHD_OPTION_NOTIFY_COMPLETED,
	        forget, s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)131072, MHD_OPTION_END);
	if (s->daemon) return true;
	close(fd);
	return failure(e, SUMI_NO_MEMORY, address, "the server could not be started");
}

server *server_start(const server_options *o, queue *q, sumi_error *e)
{
	server *s = calloc(1, sizeof *s);
	if (!s) {
		failure(e, SUMI_NO_MEMORY, "server", "out of memory");
		return NULL;
	}
	s->queue = q;
	s->o = *o;
	s->narrow_tower = choose_tower(s, false);
	s->wide_tower = choose_tower(s, true);
	s->started = seconds_now();
	pthread_mutex_init(&s->lock, NULL);
	if (listen_at(s, o->address, e)) return s;
	server_stop(s);
	return NULL;
}

void server_refuse(server *s)
{
	MHD_socket fd = MHD_quiesce_daemon(s->daemon);
	if (fd != MHD_INVALID_SOCKET) close(fd);
}

void server_stop(server *s)
{
	if (!s) return;
	double since = seconds_now();
	for (bool open = true; open && seconds_now() - since < LAST_SECONDS;) { /* answers that are on their way */
		pthread_mutex_lock(&s->lock);
		open = s->requests > 0;
		pthread_mutex_unlock(&s->lock);
		if (open) usleep(10000);
	}
	if (s->daemon) MHD_stop_daemon(s->daemon);
	for (int i = 0; i < KEPT; i++) free(s->kept[i].data.data);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
