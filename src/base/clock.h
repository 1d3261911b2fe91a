/* clock.h - how long things take. */
#ifndef SUMI_BASE_CLOCK_H
#define SUMI_BASE_CLOCK_H

double seconds_now(void); /* of a clock that only goes forward, from some moment on */

#endif
