/* SPDX-License-Identifier: MIT */
/*
 * sup_notify.c: sd_notify(3) by hand: one datagram to the socket in NOTIFY_SOCKET, when there is
 * one.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "sup.h"

void sup_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t bytes = path ? strlen(path) : 0;
	int sock;

	if (bytes < 2 || bytes >= sizeof(addr.sun_path) || (*path != '/' && *path != '@'))
		return;
	memcpy(addr.sun_path, path, bytes);
	if (*path == '@')
		addr.sun_path[0] = '\0';
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || sendto(sock, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)) < 0)
		log_debug("the service manager does not hear us");
	if (sock >= 0)
		close(sock);
}
