/* fuzz_requests.c - any bytes as a request to `sumi serve`: its HTTP, JSON, forms, pictures and fields, through the
 * server's own queue. The first byte chooses an address, the rest is the body; or all of it is what a client sends. In
 * the library's place stands what is below: it checks that options which reach it are in their ranges, and draws
 * nothing. */
#include "fuzz.h"
#include "io/canny.h"
#include "io/picture.h"
#include "server/http.h"
#include "server/page.h"
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

const page_file page_files[] = { { NULL, NULL, 0 } };

/* ── pictures ── */

enum { MOST_PIXELS = 1 << 22 };

static sumi_image *image_of(picture *p)
{
	sumi_image *image = calloc(1, sizeof *image);
	*image =
	    (sumi_image){ .size = sizeof *image, .width = p->width, .height = p->height, .pixels = p->rgb, .seed = -1 };
	image->alpha = p->alpha;
	return image;
}

static picture picture_of(const sumi_image *i)
{
	return (picture){ .width = i->width, .height = i->height, .rgb = i->pixels };
}

static void *wrong(sumi_error *e, sumi_status status)
{
	if (e && !e->status) {
		e->status = status;
		snprintf(e->text, sizeof e->text, "refused");
	}
	return NULL;
}

sumi_image *sumi_image_new(int width, int height, const unsigned char *pixels, sumi_error *e)
{
	picture p;
	if ((int64_t)width * height > MOST_PIXELS || !picture_new(&p, width, height, NULL)) return wrong(e, SUMI_NO_MEMORY);
	size_t n = 3 * (size_t)width * (size_t)height;
	if (pixels)
		memcpy(p.rgb, pixels, n);
	else
		memset(p.rgb, 0, n);
	return image_of(&p);
}

bool sumi_image_size_of(const void *bytes, size_t count, int *width, int *height)
{
	return picture_size_of(bytes, count, width, height);
}

sumi_image *sumi_image_decode(const void *bytes, size_t count, sumi_error *e)
{
	picture p;
	if (!picture_decode(&p, bytes, count, "the picture", MOST_PIXELS, NULL)) return wrong(e, SUMI_BAD_FILE);
	sumi_image *image = image_of(&p);
	image->parameters = picture_text_of(bytes, count);
	return image;
}

sumi_image *sumi_image_resize(const sumi_image *image, int width, int height, sumi_error *e)
{
	picture p, from;
	if (!image) return NULL;
	holds(width > 0 && height > 0);
	from = picture_of(image);
	if ((int64_t)width * height > MOST_PIXELS || !picture_resize(&p, &from, width, height, BOX, NULL))
		return wrong(e, SUMI_NO_MEMORY);
	return image_of(&p);
}

sumi_image *sumi_image_edges(const sumi_image *image, int low, int high, sumi_error *e)
{
	picture p, from;
	if (!image) return NULL;
	holds(0 <= low && low <= high);
	from = picture_of(image);
	return picture_edges(&p, &from, low, high, NULL) ? image_of(&p) : wrong(e, SUMI_NO_MEMORY);
}

bool sumi_image_encode(
    const sumi_image *image, const char *format, int quality, unsigned char **bytes, size_t *count, sumi_error *e)
{
	(void)e;
	holds((!strcmp(format, "png") || !strcmp(format, "jpeg") || !strcmp(format, "webp")) && quality >= 0 &&
	      quality <= 100);
	holds(image->width > 0 && image->height > 0);
	*bytes = calloc(1, 1);
	*count = 1;
	return true;
}

void sumi_image_free(sumi_image *image)
{
	if (!image) return;
	free(image->pixels);
	free(image->alpha);
	free(image->parameters);
	free(image);
}

char *sumi_image_parameters(const char *path, int *width, int *height, sumi_error *e)
{
	(void)path, (void)width, (void)height;
	return wrong(e, SUMI_BAD_FILE);
}

/* ── models and drawing ── */

const char *sumi_version(void) { return "0"; }
void sumi_free(void *memory) { free(memory); }
const char *sumi_sampler_name(int i) { return i ? NULL : "Euler"; }
const char *sumi_schedule_name(int i) { return i ? NULL : "Karras"; }

sumi_model *sumi_open(const char *path, const sumi_model_options *o, sumi_error *e)
{
	(void)path, (void)o, (void)e;
	static char model;
	return (sumi_model *)(void *)&model;
}
void sumi_close(sumi_model *m) { (void)m; }
const char *sumi_model_family(const sumi_model *m) { return m ? "none" : ""; }
void sumi_model_size(const sumi_model *m, int *width, int *height)
{
	(void)m;
	*width = *height = 64;
}
bool sumi_prompt_read(
    const sumi_model *m, const char *prompt, int *tokens, int *room, sumi_prompt_fn *each, void *context, sumi_error *e)
{
	(void)m, (void)e;
	*tokens = *room = 75;
	if (each) each(context, prompt, strlen(prompt), 1);
	return true;
}

sumi_session *sumi_session_open(sumi_model *m, const sumi_session_options *o, sumi_error *e)
{
	(void)o, (void)e;
	return (sumi_session *)(void *)m;
}
void sumi_session_close(sumi_session *s) { (void)s; }
void sumi_session_trim(sumi_session *s, uint64_t bytes) { (void)s, (void)bytes; }
uint64_t sumi_session_bytes(const sumi_session *s) { return s != NULL; }
int sumi_session_at_once(const sumi_session *s, const sumi_options *o) { return s && o ? 4 : 0; }

void sumi_options_init(sumi_options *o, size_t size)
{
	memset(o, 0, size);
	*o = (sumi_options){ .size = size, .steps = 20, .guidance = -1, .eta = -1, .seed = 42, .strength = 0.75 };
}
void sumi_listener_init(sumi_listener *l, size_t size)
{
	memset(l, 0, size);
	l->size = size;
}
void sumi_control_init(sumi_control *c, size_t size)
{
	memset(c, 0, size);
	c->size = size;
	c->strength = c->to = 1;
}
void sumi_ip_adapter_init(sumi_ip_adapter *a, size_t size)
{
	memset(a, 0, size);
	a->size = size;
	a->strength = a->to = 1;
}

static void check_options(const sumi_options *o)
{
	holds(o->prompt && strlen(o->prompt) <= MOST_TEXT && o->width >= 0 && o->width <= 8192 && o->height >= 0);
	holds(o->steps >= 1 && o->steps <= 1000 && o->seed >= -1 && o->strength >= 0 && o->strength <= 1);
	holds(o->control_count >= 0 && o->control_count <= MOST_CONTROLS && (!o->mask || o->init));
	for (int i = 0; i < o->control_count; i++) holds(o->controls[i]->path && o->controls[i]->image);
	holds(o->ip_adapter_count >= 0 && o->ip_adapter_count <= MOST_IP_ADAPTERS);
	for (int i = 0; i < o->ip_adapter_count; i++) holds(o->ip_adapters[i]->path && o->ip_adapters[i]->image);
}

bool sumi_session_draw_batch(
    sumi_session *s, const sumi_options *const *o, int count, sumi_image **pictures, sumi_error *e)
{
	const sumi_listener *l = o[0]->listener;
	holds(s && count >= 1 && count <= MOST_PICTURES);
	for (int i = 0; i < count; i++) check_options(o[i]);
	if (l->progress(l->context, "denoise", 1, 1)) return wrong(e, SUMI_STOPPED), false;
	for (int i = 0; i < count; i++) pictures[i] = sumi_image_new(8, 8, NULL, e);
	l->preview(l->context, 0, 1, pictures[0]);
	return true;
}

void sumi_upscale_options_init(sumi_upscale_options *o, size_t size) { memset(o, 0, size); }
sumi_upscaler *sumi_upscaler_open(const char *path, const sumi_upscaler_options *o, sumi_error *e)
{
	(void)path, (void)o;
	return wrong(e, SUMI_BAD_FILE);
}
void sumi_upscaler_close(sumi_upscaler *u) { (void)u; }
int sumi_upscaler_scale(const sumi_upscaler *u) { return u ? 2 : 0; }
sumi_image *sumi_upscale(const sumi_upscaler *u, const sumi_image *i, const sumi_upscale_options *o, sumi_error *e)
{
	(void)u, (void)i, (void)o;
	return wrong(e, SUMI_BAD_FILE);
}

/* ── training: this server has no folder for it, so that no request gets so far ── */

sumi_training *sumi_training_new(const char *job, sumi_error *e)
{
	holds(!job);
	return wrong(e, SUMI_BAD_USAGE);
}
void sumi_training_free(sumi_training *run) { holds(!run); }
bool sumi_training_set(sumi_training *run, const char *name, const char *value, sumi_error *e)
{
	(void)e;
	holds(!run && !name && !value);
	return false;
}
bool sumi_training_option_at(const char *job, int i, sumi_training_option *option)
{
	holds(!job && !i && !option);
	return false;
}
bool sumi_training_find(const char *job, const char *name, sumi_training_option *option, sumi_error *e)
{
	(void)e;
	holds(!job && !name && !option);
	return false;
}

/* ── a client ── */

static server *serve(void)
{
	static server *s;
	static char folder[] = "/tmp/sumi-fuzz-XXXXXX";
	static const char *const model = "model.safetensors";
	sumi_error e = { 0 };
	if (s) return s;
	holds(mkdtemp(folder) != NULL);
	char path[64];
	snprintf(path, sizeof path, "%s/net.pt", folder);
	FILE *f = fopen(path, "w");
	holds(f && !fclose(f)); /* a name that requests may use */
	queue_options jobs = { .models = &model, .model_count = 1, .most = 16, .most_pixels = 1 << 22 };
	server_options http = { .address = "127.0.0.1:0", .most_body = 1 << 20, .quiet = true };
	for (int i = 0; i < FOLDERS; i++) http.folders[i] = folder;
	queue *q = queue_new(&jobs, &e);
	s = q ? server_start(&http, q, &e) : NULL;
	holds(s != NULL);
	return s;
}

static void send_all(int fd, const void *bytes, size_t count)
{
	const char *at = bytes;
	for (ssize_t n = 1; count && n > 0; at += n, count -= (size_t)n) {
		n = send(fd, at, count, MSG_NOSIGNAL);
		if (n < 0) return; /* refused before all was sent */
	}
}

/* Sends it all at once and reads the answer to its end; how much it was. The first bytes are HTTP's. */
static size_t ask(const char *bytes, size_t count, bool finish)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char answer[4096];
	size_t all = 0;
	ssize_t n;
	to.sin_port = htons((uint16_t)server_port(serve()));
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	holds(fd >= 0 && !connect(fd, (struct sockaddr *)(void *)&to, sizeof to));
	send_all(fd, bytes, count);
	if (finish) shutdown(fd, SHUT_WR);
	for (; (n = recv(fd, answer, sizeof answer, 0)) > 0; all += (size_t)n)
		holds(all || n < 9 || !memcmp(answer, "HTTP/1.1 ", 9));
	close(fd);
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char form[] = "multipart/form-data; boundary=x", json[] = "application/json";
	static const struct {
		const char *path, *type;
	} addresses[] = { { "/sdapi/v1/txt2img", json }, { "/sdapi/v1/img2img", json }, { "/v1/images/generations", json },
		{ "/v1/images/edits", form }, { "/controlnet/detect", json }, { "/sdapi/v1/extra-single-image", json },
		{ "/sdapi/v1/extra-batch-images", json }, { "/sdapi/v1/png-info", json }, { "/sdapi/v1/options", json },
		{ "/sumi/prompt", json }, { "/sumi/draw", json }, { "/sumi/training", json } };
	enum { ADDRESSES = sizeof addresses / sizeof *addresses, TRIES = 3 };
	buffer all = { 0 };
	char head[256];
	if (!size) return 0;
	bool whole = *data % (ADDRESSES + 1) == ADDRESSES;
	if (!whole) {
		snprintf(head, sizeof head,
		    "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: "
		    "%zu\r\n\r\n",
		    addresses[*data % (ADDRESSES + 1)].path, addresses[*data % (ADDRESSES + 1)].type, size - 1);
		buffer_add_text(&all, head);
	}
	buffer_add(&all, data + 1, size - 1);
	bool answered = whole;
	for (int i = 0; i < (whole ? 1 : TRIES); i++) /* once it may be that there is no thread for it */
		if (ask(all.data ? all.data : "", all.size, whole)) {
			answered = true;
			break;
		}
	holds(answered);
	free(all.data);
	return 0;
}
