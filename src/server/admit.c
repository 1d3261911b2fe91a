/* admit.c - see admit.h. */
#include "server/admit.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The host of "host:port" or "[v6]:port", without its port. */
static void host_of(const char *from, char *host, size_t size)
{
	const char *end = *from == '[' ? strchr(from, ']') : strrchr(from, ':');
	size_t n = end ? (size_t)(end - from) + (*from == '[') : strlen(from);
	snprintf(host, size, "%.*s", n < size ? (int)n : (int)size - 1, from);
}

/* A page of another site can make a browser send requests here, and can give its own name this address: then the
 * browser sends that name as Host. So names count only where they are known. */
static bool host_is_ours(const server *s, const char *given)
{
	const server_options *o = server_options_of(s);
	char host[256], bare[256];
	unsigned char address[16];
	host_of(given, host, sizeof host);
	if (!strcasecmp(host, "localhost")) return true;
	for (int i = 0; i < o->host_count; i++)
		if (!strcasecmp(host, o->hosts[i])) return true;
	snprintf(bare, sizeof bare, "%.*s", *host == '[' ? (int)strlen(host) - 2 : 255, *host == '[' ? host + 1 : host);
	if (inet_pton(AF_INET, bare, address) == 1) return !server_is_local(s) || address[0] == 127;
	return inet_pton(AF_INET6, bare, address) == 1 && (!server_is_local(s) || !strcmp(bare, "::1"));
}

static bool origin_is_ours(const request *r, const char *host)
{
	const char *origin = request_header(r, "Origin"), *name = origin ? strstr(origin, "://") : NULL;
	return !origin || (name && !strcasecmp(name + 3, host));
}

/* Takes the same time wherever the difference is. */
static bool same_secret(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);
	volatile unsigned char different = n != m;
	for (size_t i = 0; i < n; i++) different |= (unsigned char)(a[i] ^ b[m ? i % m : 0]);
	return !different;
}

static bool key_is_given(const server *s, const request *r)
{
	const server_options *o = server_options_of(s);
	if (!o->key) return true;
	const char *bearer = request_header(r, "Authorization");
	if (bearer && !strncasecmp(bearer, "Bearer ", 7)) return same_secret(bearer + 7, o->key);
	char *password = NULL, *user = MHD_basic_auth_get_username_password(r->connection, &password);
	bool right = password && same_secret(password, o->key);
	MHD_free(user);
	MHD_free(password);
	return right;
}

typedef struct repeats {
	const char *name;
	int count;
} repeats;

static enum MHD_Result count_repeats(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	repeats *n = context;
	(void)kind;
	(void)value;
	n->count += !strcasecmp(n->name, name);
	return MHD_YES;
}

/* A request that a proxy in front of this server might read in another way: then what one takes for a body may be a
 * request to the other. */
static bool is_ambiguous(const request *r)
{
	static const char *const once[] = { "Host", "Origin", "Content-Length", "Transfer-Encoding" };
	const char *encoding = request_header(r, "Transfer-Encoding");
	for (size_t i = 0; i < sizeof once / sizeof *once; i++) {
		repeats n = { once[i], 0 };
		MHD_get_connection_values(r->connection, MHD_HEADER_KIND, count_repeats, &n);
		if (n.count > 1) return true;
	}
	return encoding && (strcasecmp(encoding, "chunked") || request_header(r, "Content-Length"));
}

/* "GET http://host:port/path", as proxies send it: the path remains. False: the host is not ours. */
static bool take_authority(const server *s, request *r)
{
	size_t n = !strncasecmp(r->path, "http://", 7) ? 7 : !strncasecmp(r->path, "https://", 8) ? 8 : 0;
	char host[256];
	if (!n) return true;
	const char *from = r->path + n, *slash = strchr(from, '/');
	size_t length = slash ? (size_t)(slash - from) : strlen(from);
	if (length >= sizeof host) return false;
	snprintf(host, sizeof host, "%.*s", (int)length, from);
	r->path = slash ? slash : "/";
	return host_is_ours(s, host);
}

void admit(const server *s, request *r)
{
	bool ours = take_authority(s, r);
	const char *host = request_header(r, "Host"), *length = request_header(r, "Content-Length"),
	           *coding = request_header(r, "Content-Encoding");
	char methods[64];
	r->route = route_find(r->method, r->path);
	route_methods(r->path, methods);
	if (is_ambiguous(r)) {
		r->refused = 400;
		r->reason =
		    "Host, Origin, Content-Length or Transfer-Encoding is given twice, or two of them contradict each other";
	} else if (!ours || !host || !host_is_ours(s, host)) {
		r->refused = 421;
		r->reason = "this server is not known by that name; --host NAME makes it known";
	} else if (!origin_is_ours(r, host)) {
		r->refused = 403;
		r->reason = "requests from pages of other sites are not answered";
	} else if (!(r->route && r->route->access == OPEN) && !key_is_given(s, r)) {
		r->refused = 401;
		r->reason = "Incorrect API key provided";
	} else if (!r->route) {
		r->refused = *methods ? 405 : 404;
		r->reason = *methods ? "Method Not Allowed" : "Not Found";
	} else if (length && strtoull(length, NULL, 10) > (unsigned long long)server_options_of(s)->most_body) {
		r->refused = 413;
		r->reason = "the request is larger than this server takes";
	} else if (coding && *coding && strcasecmp(coding, "identity")) {
		r->refused = 415;
		r->reason = "compressed bodies (Content-Encoding) are not read by this server";
	}
}
