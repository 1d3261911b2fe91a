/* caller.c - errors cross the public interface. */
#include "checkpoint/caller.h"
#include <string.h>

error error_of_caller(const sumi_error *from)
{
	error e = { 0 };
	if (!from || from->status == SUMI_OK) return e;
	e.status = (status)from->status;
	memcpy(e.text, from->text, sizeof e.text);
	return e;
}

bool tell_caller(sumi_error *to, const error *e)
{
	if (to && to->status == SUMI_OK && failed(e)) {
		to->status = (sumi_status)e->status;
		memcpy(to->text, e->text, sizeof to->text);
	}
	return !failed(e);
}
