// SPDX-License-Identifier: Apache-2.0
// A file of its own, in whose place the drivers' fuzz target has one that starts nothing.
#include "driver.h"

#include <signal.h>

// Signals are the loop's.
int store_start_thread(pthread_t *ret, void *(*run_thread)(void *), void *argument)
{
	sigset_t all, before;
	sigfillset(&all);
	int error = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (error)
		return -error;
	error = pthread_create(ret, NULL, run_thread, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}
