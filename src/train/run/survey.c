/* survey.c - pictures, captions and sizes counted; what is missing or left out, named. */
#include "train/run/survey.h"
#include <stdio.h>

static bool needs_captions(training_job job)
{
	return job == TRAIN_DIFFUSION || job == TRAIN_LORA || job == TRAIN_CONTROLNET || job == TRAIN_CACHE;
}

static void tell_set(const train_options *o, const data_survey *s, const training_listener *l)
{
	char repeats[80] = "", captions[120] = "", sizes[260] = "", files[120] = "";
	if (s->samples != s->pictures)
		snprintf(repeats, sizeof repeats, ", with repeats %lld samples an epoch", (long long)s->samples);
	if (o->job == TRAIN_EMBEDDING && s->uncaptioned.count)
		snprintf(captions, sizeof captions, ", %lld without a caption: \"a photo of %.60s\"",
		    (long long)s->uncaptioned.count, o->placeholder_token);
	else if (o->job != TRAIN_AUTOENCODER && !s->uncaptioned.count)
		snprintf(captions, sizeof captions, ", all with captions");
	if (s->sizes) snprintf(sizes, sizeof sizes, "; %d sizes: %s", s->sizes, s->size_list);
	if (*s->file_list) snprintf(files, sizeof files, "; files: %s", s->file_list);
	training_note(l, "data: %s: %lld pictures%s%s%s%s", o->train_data_dir, (long long)s->pictures, repeats, captions,
	    sizes, files);
}

static void warn_of(const left_out *what, const training_listener *l, const char *one, const char *many)
{
	if (what->count)
		training_note(l, "warning: %lld %s: %s", (long long)what->count, what->count == 1 ? one : many, what->names);
}

static bool check_captions(const train_options *o, const data_survey *s, const training_listener *l, error *e)
{
	if (!s->uncaptioned.count || (!needs_captions(o->job) && !o->require_captions)) return true;
	if (o->require_captions)
		return fail(e, BAD_FILE, "%s: %lld of %lld pictures have no caption, and --require_captions is given: %s",
		    o->train_data_dir, (long long)s->uncaptioned.count, (long long)s->pictures, s->uncaptioned.names);
	training_note(l, "warning: %lld of %lld pictures have no caption: %s; --require_captions refuses such a set",
	    (long long)s->uncaptioned.count, (long long)s->pictures, s->uncaptioned.names);
	return true;
}

bool survey_source(const train_options *o, data_options *source, const training_listener *l, error *e)
{
	data_survey s;
	if (!data_look(source, &s, e)) return false;
	source->surveyed = true;
	source->varies = s.keywords && source->vary_captions;
	if (s.stream && o->require_captions)
		return fail(
		    e, BAD_USAGE, "--require_captions: whether all of a stream have captions is not known before the end");
	if (s.stream) return true;
	tell_set(o, &s, l);
	warn_of(&s.unread, l, "picture is of a format that is not read (PNG, JPEG, WebP and BMP are), and left out",
	    "pictures are of formats that are not read (PNG, JPEG, WebP and BMP are), and left out");
	warn_of(&s.unlisted, l, "picture is not listed in metadata.jsonl, and is left out",
	    "pictures are not listed in metadata.jsonl, and are left out");
	warn_of(&s.runs, l, "folder in the set holds the samples of a training run, and is left out",
	    "folders in the set hold the samples of training runs, and are left out");
	return check_captions(o, &s, l, e);
}
