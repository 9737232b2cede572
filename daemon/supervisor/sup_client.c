/* SPDX-License-Identifier: MIT */
/*
 * sup_client.c: the client socket. A client gets one lane to each ready worker; the daemon makes
 * every segment and sees nothing of what goes through it. What a client does not take at once ends
 * its connection: the loop never waits for one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "mhs_bell.h"
#include "mhs_wire.h"
#include "sup.h"

#define HELLO_NS	(5 * SUP_NS_PER_S)

/* Say why, if the peer listens. The caller closes. */
void sup_client_refuse(int sock, int err, const char *text)
{
	struct mhs_sock msg = sup_client_message(MHS_SOCK_REFUSED, 0), unread;

	msg.error = (uint32_t)err;
	snprintf(msg.text, sizeof(msg.text), "%s", text);
	/*
	 * Closing with something unread would reset the connection, and the peer miss the reason.
	 */
	shutdown(sock, SHUT_RD);
	while (recv(sock, &unread, sizeof(unread), MSG_DONTWAIT) > 0)
		;
	sup_client_send(sock, &msg, NULL, 0);
}

/* ---- end of a client ------------------------------------------------------------------------ */

static void bell_close(struct sup_client *client)
{
	for (int i = 0; i < 2; i++) {
		if (client->bell[i] >= 0)
			close(client->bell[i]);
		client->bell[i] = -1;
	}
}

/*
 * Free it once no worker holds a lane of it any more; until then it counts against its user's
 * quota.
 */
void sup_client_free_if_over(struct sup_client *client)
{
	struct sup *sup = client->sup;
	struct sup_client **at = &sup->clients;

	if (client->sock.fd >= 0 || client->lanes)
		return;
	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	sup->client_count--;
	free(client);
}

/* The connection ends; workers are told to let go of the lanes. @client may be freed. */
void sup_client_close(struct sup_client *client)
{
	struct sup *sup = client->sup;
	struct hrt_msg msg = { .type = HRT_LANE_CLOSE };

	if (client->sock.fd < 0)
		return;
	sup_timer_off(&sup->loop, &client->timer);
	sup_source_close(&sup->loop, &client->sock);
	bell_close(client);
	for (struct sup_lane *lane = client->lanes; lane; lane = lane->next) {
		msg.lane.id = lane->id;
		sup_worker_send(&sup->workers[lane->worker], &msg, NULL, 0);
	}
	log_debug("client %llu (uid %u) left", (unsigned long long)client->id, client->uid);
	sup_client_free_if_over(client);
}

/* @client may be freed. */
static void lane_open_or_close(struct sup_client *client, struct sup_worker *worker)
{
	int err = sup_lane_open(client, worker);

	if (!err)
		return;
	log_warning("client %llu (uid %u): %s; its connection ends", (unsigned long long)client->id,
		    client->uid, err == -EAGAIN ? "does not take its messages" : strerror(-err));
	sup_client_close(client);
}

/* ---- greeting ------------------------------------------------------------------------------- */

/* Once it has greeted and some worker is ready. @client may be freed. */
static void client_welcome(struct sup_client *client)
{
	struct sup *sup = client->sup;
	struct mhs_sock msg = sup_client_message(MHS_SOCK_WELCOME, client->id);
	struct sup_worker *ready[MHS_WORKER_MAX];

	if (!client->greeted || client->welcomed || sup_workers_ready(sup) == 0)
		return;
	for (uint32_t i = 0; i < MHS_WORKER_MAX; i++)
		if (sup->workers[i].state == SUP_WORKER_READY)
			ready[msg.lane_count++] = &sup->workers[i];
	snprintf(msg.text, sizeof(msg.text), "mhostd %s", MHOST_VERSION);
	client->welcomed = true;
	sup_timer_off(&sup->loop, &client->timer);
	if (sup_client_send(client->sock.fd, &msg, &client->bell[0], 1)) {
		sup_client_close(client);
		return;
	}
	close(client->bell[0]);
	client->bell[0] = -1;
	for (uint32_t i = 0; i < msg.lane_count; i++) {
		int err = sup_lane_open(client, ready[i]);

		if (!err)
			continue;
		log_warning("client %llu (uid %u): %s", (unsigned long long)client->id, client->uid,
			    strerror(-err));
		sup_client_close(client);
		return;
	}
	log_debug("client %llu (uid %u): %u lanes", (unsigned long long)client->id, client->uid,
		  msg.lane_count);
}

static const char *hello_fault(const struct sup_client *client, const struct mhs_sock *msg, ssize_t n)
{
	if (n != (ssize_t)sizeof(*msg) || msg->magic != MHS_HELLO_MAGIC)
		return "greeting: not one of mhost's";
	if (msg->abi_major != MHS_ABI_MAJOR)
		return "greeting: ABI of another release; use the library of this mhostd";
	if (msg->type != MHS_SOCK_HELLO || msg->value || msg->error || msg->lane_count)
		return "greeting: a field is not zero, or it is no HELLO";
	return client->greeted ? "greeted twice" : NULL;
}

static void client_heard(struct sup_source *source, uint32_t events)
{
	struct sup_client *client = sup_owner(source, struct sup_client, sock);
	const char *fault;
	struct mhs_sock msg;
	ssize_t n;

	(void)events;
	/* Without room for descriptors: the kernel closes what is sent along. */
	n = recv(source->fd, &msg, sizeof(msg), MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		sup_client_close(client);
		return;
	}
	fault = hello_fault(client, &msg, n);
	if (!fault) {
		client->greeted = true;
		client_welcome(client);
		return;
	}
	log_notice("client %llu (uid %u): %s", (unsigned long long)client->id, client->uid, fault);
	sup_client_refuse(source->fd, EPROTO, fault);
	sup_client_close(client);
}

static void hello_late(struct sup_timer *timer)
{
	struct sup_client *client = sup_owner(timer, struct sup_client, timer);

	sup_client_refuse(client->sock.fd, ETIMEDOUT, client->greeted ? "no worker became ready in time" :
	       "no greeting came");
	sup_client_close(client);
}

static void client_new(struct sup *sup, int fd, uint32_t uid)
{
	struct sup_client *client = calloc(1, sizeof(*client));

	if (!client) {
		sup_client_refuse(fd, ENOMEM, "out of memory");
		close(fd);
		return;
	}
	client->sup = sup;
	client->id = ++sup->next_client;
	client->uid = uid;
	client->bell[0] = client->bell[1] = -1;
	if (mhs_bell_open(client->bell) ||
	    sup_source_open(&sup->loop, &client->sock, fd, EPOLLIN, client_heard)) {
		sup_client_refuse(fd, errno, "the host has no more descriptors");
		bell_close(client);
		close(fd);
		free(client);
		return;
	}
	client->next = sup->clients;
	sup->clients = client;
	sup->client_count++;
	sup_timer_set(&sup->loop, &client->timer, HELLO_NS, hello_late);
}

static const char *quota_fault(const struct sup *sup, uint32_t uid, char text[96])
{
	uint32_t count = 0;

	for (const struct sup_client *c = sup->clients; c; c = c->next)
		count += c->uid == uid;
	if (count >= sup->conf.clients_per_uid)
		snprintf(text, 96, "user %u has %u connections, clients_per_uid allows %u", uid, count,
			 sup->conf.clients_per_uid);
	else if (sup->client_count >= SUP_CLIENTS_MAX)
		snprintf(text, 96, "the host has %u clients, no more fit", sup->client_count);
	else
		return NULL;
	return text;
}

void sup_client_accept(struct sup_source *source, uint32_t events)
{
	struct sup *sup = sup_owner(source, struct sup, client_socket);
	char text[96];
	uint32_t uid;
	bool allowed;
	int fd = sup_sock_accept(source->fd, &sup->conf.use, &uid, &allowed);

	(void)events;
	if (fd < 0) {
		sup_sock_pause(sup, fd);
		return;
	}
	if (!allowed) {
		log_notice("uid %u may not use this host", uid);
		snprintf(text, sizeof(text), "user %u may not use this host; see [access]", uid);
		sup_client_refuse(fd, EACCES, text);
	} else if (quota_fault(sup, uid, text)) {
		log_notice("%s", text);
		sup_client_refuse(fd, EBUSY, text);
	} else {
		client_new(sup, fd, uid);
		return;
	}
	close(fd);
}

/* ---- workers come and go -------------------------------------------------------------------- */

void sup_clients_worker_ready(struct sup_worker *worker)
{
	struct sup_client *next;

	for (struct sup_client *c = worker->sup->clients; c; c = next) {
		next = c->next;
		if (c->sock.fd < 0)
			continue;
		if (c->welcomed)
			lane_open_or_close(c, worker);
		else
			client_welcome(c);
	}
}

void sup_clients_close(struct sup *sup)
{
	struct sup_client *client;

	while ((client = sup->clients)) {
		while (client->lanes)
			sup_lane_drop(client, &client->lanes);
		if (client->sock.fd >= 0)
			sup_client_close(client);
		else
			sup_client_free_if_over(client);
	}
}
