/* admit.h - who may ask: requests by our own names and from our own pages, with the key where there is one, whose
 * meaning is the same to every server that reads them, and that are not too large. */
#ifndef SUMI_SERVER_ADMIT_H
#define SUMI_SERVER_ADMIT_H
#include "server/http.h"

/* Finds the request's route, or sets what it is refused with. */
void admit(const server *s, request *r);

#endif
