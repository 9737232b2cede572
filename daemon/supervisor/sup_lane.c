/* SPDX-License-Identifier: MIT */
/* sup_lane.c: lanes come with a ready worker and go with it or with the client. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "mhs_attach.h"
#include "mhs_bell.h"
#include "sup.h"

/* ---- messages ------------------------------------------------------------------------------- */

int sup_client_send(int sock, const struct mhs_sock *msg, const int *fds, uint32_t fd_count)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int) * 2)];
	} control = { .bytes = { 0 } };
	struct iovec iov = { (void *)(uintptr_t)msg, sizeof(*msg) };
	struct msghdr head = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd_count) {
		head.msg_control = control.bytes;
		head.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * fd_count);
	}
	return sendmsg(sock, &head, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*msg) ? 0 : -errno;
}

struct mhs_sock sup_client_message(uint32_t type, uint64_t value)
{
	return (struct mhs_sock){ .magic = MHS_HELLO_MAGIC, .abi_major = MHS_ABI_MAJOR,
				  .abi_minor = MHS_ABI_MINOR, .type = type, .value = value };
}

/* ---- lanes ---------------------------------------------------------------------------------- */

/* A fresh lane segment with its header. Descriptor or negative errno. */
static int lane_segment(uint32_t id)
{
	struct mhs_map map;
	int fd = mhs_seg_create("mhost:lane", sizeof(struct mhs_lane)), err;

	if (fd < 0)
		return fd;
	err = mhs_seg_map_rw(fd, MHS_PAGE_BYTES, &map);
	if (err) {
		close(fd);
		return err;
	}
	mhs_header_init(map.addr, MHS_MAGIC_LANE, sizeof(struct mhs_lane), id);
	mhs_header_publish(map.addr);
	mhs_seg_unmap(&map);
	return fd;
}

/* Hand the lane to both sides; nothing of it stays open here. */
static int lane_send(struct sup_client *client, struct sup_worker *worker, uint32_t id, int segment)
{
	struct hrt_msg open = { .type = HRT_LANE_OPEN };
	struct mhs_sock lane = sup_client_message(MHS_SOCK_LANE, id);
	int bell[2], err = mhs_bell_open(bell);

	if (err)
		return err;
	open.lane.id = id;
	open.lane.uid = client->uid;
	open.lane.client = client->id;
	err = sup_client_send(client->sock.fd, &lane, (int[]){ segment, bell[1] }, 2);
	if (!err)
		sup_worker_send(worker, &open, (int[]){ segment, bell[0], client->bell[1] }, 3);
	close(bell[0]);
	close(bell[1]);
	return err;
}

int sup_lane_open(struct sup_client *client, struct sup_worker *worker)
{
	struct sup_lane *lane = calloc(1, sizeof(*lane));
	int segment, err;

	if (!lane)
		return -ENOMEM;
	lane->id = ++client->sup->next_lane;
	lane->worker = worker->index;
	lane->life = worker->life;
	segment = lane_segment(lane->id);
	err = segment < 0 ? segment : lane_send(client, worker, lane->id, segment);
	if (segment >= 0)
		close(segment);
	if (err) {
		free(lane);
		return err;
	}
	lane->next = client->lanes;
	client->lanes = lane;
	worker->lane_count++;
	return 0;
}

void sup_lane_drop(struct sup_client *client, struct sup_lane **at)
{
	struct sup_lane *lane = *at;
	struct sup_worker *worker = &client->sup->workers[lane->worker];

	if (worker->life == lane->life && worker->lane_count)
		worker->lane_count--;
	*at = lane->next;
	free(lane);
}

/* ---- their end ------------------------------------------------------------------------------- */

/* Lanes of a worker life that the kernel says is over. @client may be freed. */
static void lanes_down(struct sup_client *client, const struct sup_worker *worker)
{
	struct sup_lane **at = &client->lanes;
	bool taken = true;

	while (*at) {
		struct mhs_sock msg = sup_client_message(MHS_SOCK_LANE_DOWN, (*at)->id);

		if ((*at)->worker != worker->index || (*at)->life != worker->life) {
			at = &(*at)->next;
			continue;
		}
		if (client->sock.fd >= 0 && sup_client_send(client->sock.fd, &msg, NULL, 0))
			taken = false;
		sup_lane_drop(client, at);
	}
	if (!taken)
		sup_client_close(client);
	else
		sup_client_free_if_over(client);
}

void sup_clients_worker_died(struct sup_worker *worker)
{
	struct sup_client *next;

	for (struct sup_client *c = worker->sup->clients; c; c = next) {
		next = c->next;
		lanes_down(c, worker);
	}
}

static struct sup_client *lane_find(struct sup *sup, uint32_t lane, uint64_t life,
				    struct sup_lane ***found)
{
	for (struct sup_client *c = sup->clients; c; c = c->next) {
		for (struct sup_lane **at = &c->lanes; *at; at = &(*at)->next) {
			if ((*at)->id == lane && (*at)->life == life) {
				*found = at;
				return c;
			}
		}
	}
	return NULL;
}

void sup_lane_closed(struct sup *sup, uint32_t lane, uint64_t life)
{
	struct sup_lane **at;
	struct sup_client *client = lane_find(sup, lane, life, &at);

	if (!client || client->sock.fd >= 0)
		return;		/* nobody asked for it */
	sup_lane_drop(client, at);
	sup_client_free_if_over(client);
}

void sup_lane_bad(struct sup *sup, uint32_t lane, uint64_t life)
{
	struct sup_lane **at;
	struct sup_client *client = lane_find(sup, lane, life, &at);

	if (!client || client->sock.fd < 0)
		return;
	log_warning("client %llu (uid %u) broke a rule of its lane; its connection ends",
		    (unsigned long long)client->id, client->uid);
	sup_client_refuse(client->sock.fd, EPROTO, "a lane broke a rule; the connection ends");
	sup_client_close(client);
}
