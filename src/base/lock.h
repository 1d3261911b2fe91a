/* lock.h - a file that one process at a time holds. The system lets go of it when its holder ends, in whatever way, so
 * a lock that a killed process left is no obstacle. Processes on other machines are kept out where the file system
 * shares flock() between them. */
#ifndef SUMI_BASE_LOCK_H
#define SUMI_BASE_LOCK_H
#include "base/error.h"

typedef struct file_lock file_lock;

/* Creates the file, which names the process that holds it, and takes the lock without waiting. BAD_FILE where another
 * holds it: the message begins with `what` and names process, machine and time. */
file_lock *lock_take(const char *path, const char *what, error *e);
void lock_release(file_lock *l); /* removes the file; NULL is fine */

#endif
