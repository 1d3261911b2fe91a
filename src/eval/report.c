/* report.c - the figures as a table for people and as JSON for programs. */
#include "eval/evaluate.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const space_names[SPACES] = { "latent", "pixels" };

static double share_of(share s) { return s.of ? (double)s.hits / s.of : 0; }

static void write_share(FILE *f, const char *name, share s)
{
	if (s.of) fprintf(f, "  %-44s %5.1f %%   %d of %d\n", name, 100 * share_of(s), s.hits, s.of);
}

static void write_drawn(FILE *f, const evaluation *v)
{
	const figures *y = &v->f;
	fprintf(f, "\nDrawn: %d pictures, %d steps, cfg %g, seeds from %lld; judged in the space of %s\n", v->sample_count,
	    v->draw.steps, v->draw.guidance, (long long)v->draw.seed, space_names[v->space]);
	write_share(f, "training texts: its picture is the nearest", y->seen_first);
	write_share(f, "… among the five nearest", y->seen_five);
	write_share(f, "held out: its group among the five nearest", y->held_group);
	write_share(f, "… the right variant of the group", y->held_variant);
	write_share(f, "… its picture is the nearest", y->held_first);
	write_share(f, "… among the five nearest", y->held_five);
	write_share(f, "held out, no variant: its picture is nearest", y->single_first);
	write_share(f, "… among the five nearest", y->single_five);
	if (y->has_frechet)
		fprintf(f,
		    "\nFréchet distance (means of the latent over 4×4 parts)\n"
		    "  %d drawn and %d real %27.4f\n  two halves of the real ones %24.4f\n",
		    y->frechet_samples, y->frechet_pictures, y->frechet, y->floor);
}

char *report_table(const evaluation *v)
{
	char *text = NULL;
	size_t length;
	const figures *y = &v->f;
	FILE *f = open_memstream(&text, &length);
	if (!f) return NULL;
	fprintf(f,
	    "Autoencoder: %d pictures%s\n  PSNR                                         %5.2f dB, worst %.2f (%s)\n"
	    "  mean difference                              %5.2f %%\n",
	    y->rebuilt, v->o->heldout ? " held out" : "", y->psnr, y->worst_psnr, v->set.at[y->worst].text, 100 * y->l1);
	fprintf(f, "\nJudge: nearest of %d real pictures\n", v->set.count);
	for (int s = 0; s < SPACES; s++) {
		char name[64];
		snprintf(name, sizeof name, "%s: disturbed pictures find themselves", space_names[s]);
		write_share(f, name, y->disturbed[s]);
		snprintf(name, sizeof name, "%s: rebuilt pictures find themselves", space_names[s]);
		write_share(f, name, y->reconstructed[s]);
	}
	if (v->sample_count) write_drawn(f, v);
	if (fclose(f) == 0) return text;
	free(text);
	return NULL;
}

/* ── JSON ── */

static void set_share(json_t *o, const char *name, share s)
{
	if (s.of)
		json_object_set_new(o, name, json_pack("{s:f, s:i, s:i}", "share", share_of(s), "hits", s.hits, "of", s.of));
}

static json_t *json_of_judge(const evaluation *v)
{
	json_t *o = json_object();
	for (int s = 0; s < SPACES; s++) {
		json_t *one = json_object();
		set_share(one, "disturbed", v->f.disturbed[s]);
		set_share(one, "rebuilt", v->f.reconstructed[s]);
		json_object_set_new(o, space_names[s], one);
	}
	return o;
}

static json_t *json_of_samples(const evaluation *v)
{
	json_t *list = json_array();
	for (int i = 0; i < v->sample_count; i++) {
		const drawn *s = &v->samples[i];
		json_t *o =
		    json_pack("{s:s, s:I, s:b, s:s, s:i}", "text", v->set.at[s->wanted].text, "seed", (json_int_t)s->seed,
		        "heldout", i >= v->seen_count, "nearest", v->set.at[s->verdict.nearest].text, "rank", s->verdict.rank);
		if (s->verdict.group_judged) {
			json_object_set_new(o, "group_rank", json_integer(s->verdict.group_rank));
			json_object_set_new(o, "variant", json_boolean(s->verdict.variant));
		}
		json_array_append_new(list, o);
	}
	return list;
}

char *report_json(const evaluation *v)
{
	const figures *y = &v->f;
	json_t *o = json_pack("{s:s, s:s, s:i, s:{s:i, s:f, s:f, s:f}, s:o}", "model", v->m->name, "space",
	    space_names[v->space], "pictures", v->set.count, "autoencoder", "pictures", y->rebuilt, "psnr", y->psnr,
	    "worst_psnr", y->worst_psnr, "l1", y->l1, "judge", json_of_judge(v));
	if (v->sample_count) {
		json_object_set_new(o, "steps", json_integer(v->draw.steps));
		json_object_set_new(o, "cfg_scale", json_real(v->draw.guidance));
		json_object_set_new(o, "seed", json_integer(v->draw.seed));
		set_share(o, "training_first", y->seen_first);
		set_share(o, "training_five", y->seen_five);
		set_share(o, "heldout_group_five", y->held_group);
		set_share(o, "heldout_variant", y->held_variant);
		set_share(o, "heldout_first", y->held_first);
		set_share(o, "heldout_five", y->held_five);
		set_share(o, "single_first", y->single_first);
		set_share(o, "single_five", y->single_five);
	}
	if (y->has_frechet)
		json_object_set_new(o, "frechet",
		    json_pack("{s:f, s:f, s:i, s:i}", "distance", y->frechet, "floor", y->floor, "samples", y->frechet_samples,
		        "pictures", y->frechet_pictures));
	if (v->sample_count) json_object_set_new(o, "samples", json_of_samples(v));
	char *text = o ? json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) : NULL;
	json_decref(o);
	return text;
}
