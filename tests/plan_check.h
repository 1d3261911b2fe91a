/* plan_check.h - the plan of a compiled graph, checked by brute force. */
#ifndef SUMI_TESTS_PLAN_CHECK_H
#define SUMI_TESTS_PLAN_CHECK_H
#include "graph/graph.h"

/* Works out every lifetime anew, and fails the test where two live values overlap; returns how many results took the
 * memory of an input that they replace. */
int check_plan(const graph *g);

#endif
