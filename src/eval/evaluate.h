/* evaluate.h - measures a model by real pictures: what sumi_evaluate() does. */
#ifndef SUMI_EVAL_EVALUATE_H
#define SUMI_EVAL_EVALUATE_H
#include "checkpoint/caller.h"
#include "eval/features.h"
#include "eval/judge.h"

enum { SPACES = 2 }; /* feature spaces */
typedef enum space { LATENT_SPACE, PIXEL_SPACE } space;

typedef struct drawn { /* a picture that was drawn for a text of the set */
	int wanted;
	int64_t seed;
	verdict verdict;
} drawn;

typedef struct share { /* hits of trials */
	int hits, of;
} share;

typedef struct figures {
	/* the autoencoder, on pictures that it never saw where there are any */
	int rebuilt, worst; /* how many; which was rebuilt worst */
	double psnr, worst_psnr, l1;
	/* the judge: real pictures that find themselves, disturbed, and rebuilt by the autoencoder */
	share disturbed[SPACES], reconstructed[SPACES];
	/* what was drawn */
	share seen_first, seen_five;                           /* for texts of the training set */
	share held_first, held_five, held_group, held_variant; /* never seen, of a group and variant */
	share single_first, single_five;                       /* never seen, without a variant */
	bool has_frechet;
	double frechet, floor;
	int frechet_samples, frechet_pictures;
} figures;

typedef struct evaluation {
	const model *m;
	const sumi_evaluation_options *o;
	sumi_options draw;
	watcher watcher;
	space space;
	example_set set; /* folder 0: trained on; 1: held out */
	feature_encoder *encoder;
	float *features[SPACES]; /* of the real pictures, [count][width of the space] */
	size_t width[SPACES];
	float *pooled; /* of real and drawn pictures: [count][pooled] */
	float *pooled_samples;
	drawn *samples; /* first those for the training set's texts */
	int sample_count, seen_count;
	sumi_image **cells; /* of the grid: drawn, nearest, wanted, … */
	int cell_count;
	double *distances;
	figures f;
} evaluation;

/* ── evaluate.c ── */
bool evaluate(const model *m, const sumi_evaluation_options *o, sumi_evaluation *result, error *e);
/* Pictures of the set as the model reads them, from the place `first` on: [count][side][side][3]. */
bool load_pictures(const evaluation *v, int first, int count, float *pictures, error *e);
/* How many pictures of the set are those trained on; they come first. */
int seen_pictures(const evaluation *v);
/* Features in both spaces. */
bool look(evaluation *v, const float *pictures, int count, float *features[SPACES], error *e);

/* ── check.c: autoencoder and judge ── */
bool check_autoencoder(evaluation *v, error *e);
bool check_judge(evaluation *v, error *e);

/* ── drawn.c ── */
bool draw_samples(evaluation *v, error *e);

/* ── report.c ── */
char *report_table(const evaluation *v);
char *report_json(const evaluation *v);

#endif
