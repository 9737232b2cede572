/* SPDX-License-Identifier: MIT */
/* eng_trial.c: run what might kill the process in a child first. */
#include <errno.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "eng_trial.h"

bool eng_trial(bool (*works)(void))
{
	const struct rlimit no_core = { 0, 0 };
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return false;
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		_exit(works() ? 0 : 1);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
