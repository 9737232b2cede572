/* SPDX-License-Identifier: MIT */
/* sup_main.c: mhostd(8). */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "sup.h"

/* Descriptors 0 to 2 must be taken, or sockets would land there. */
static int stdio_fill(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd;
}

int main(int argc, char **argv)
{
	static struct sup sup;
	struct sup_options options;
	struct sto_error error = { "" };
	int status;

	if (stdio_fill() < 0)
		return 1;
	status = sup_options_parse(argc, argv, &options, &error);
	if (status > 0)
		return 0;
	if (status < 0) {
		fprintf(stderr, "mhostd: %s\n", error.text);
		return 2;
	}
	status = sup_start(&sup, &options, &error);
	if (status)
		fprintf(stderr, "mhostd: %s\n", error.text);
	status = status ? 1 : sup_run(&sup);
	sup_finish(&sup);
	return status;
}
