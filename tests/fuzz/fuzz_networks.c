/* fuzz_networks.c - any bytes as the file of a control network or T2I-Adapter (first byte even), of an upscaler, or (3)
 * of an IP-Adapter with its vision tower: what is taken must build, and find each of its weights. The rest is the file.
 */
#include "fuzz.h"
#include "fuzz_unet.h"
#include "checkpoint/control.h"
#include "checkpoint/ip_adapter_file.h"
#include "models/upscaler.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* As small as a U-Net can be. */
static const family *tiny(void)
{
	static family f;
	f = *family_by_name("sd1", NULL);
	f.denoiser.unet = smallest_unet;
	return &f;
}

static void read_control(const char *path)
{
	error e = { 0 };
	control_file *c = control_open(path, tiny(), &e);
	if (!c) holds_message(&e);
	control_close(c);
}

/* Both in one file. */
static void read_ip_adapter(const char *path)
{
	error e = { 0 };
	ip_adapter_file *a = ip_adapter_open(path, path, tiny(), &e);
	if (!a) holds_message(&e);
	ip_adapter_close(a);
}

static void expect_weight(void *context, const char *name, shape s, initial start)
{
	const upscaler_config *c = context;
	char key[160];
	(void)start;
	holds(upscaler_key(c, name, key, sizeof key) && strlen(key) > 3 && shape_count(s) > 0);
}

static void read_upscaler(const char *path)
{
	error e = { 0 };
	upscaler_config c;
	weights *w = weights_open(path, &e);
	if (w && upscaler_recognise(weights_lookup, w, &c, &e)) {
		nn n = { .g = graph_new(REAL), .parameter = expect_weight, .context = &c };
		holds(n.g != NULL);
		upscaler_network(&n, &c, input(n.g, "image", REAL, shape4(1, 1, 1, upscaler_inputs(&c))));
		holds(graph_error(n.g)->status == OK);
		graph_free(n.g);
	} else {
		holds_message(&e);
	}
	weights_close(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	int file = size ? memfd_create("network", 0) : -1;
	if (file < 0) return 0;
	holds(write(file, data + 1, size - 1) == (ssize_t)(size - 1));
	snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	if (*data == 3)
		read_ip_adapter(path);
	else if (*data & 1)
		read_upscaler(path);
	else
		read_control(path);
	close(file);
	return 0;
}
