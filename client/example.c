/* SPDX-License-Identifier: MIT */
/*
 * example.c: stream one reply through libmhost.
 *	cc example.c $(pkg-config --cflags --libs mhost) -o example
 *	./example smol "Once upon a time"
 */
#include <mhost.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	struct mhost_request rq = MHOST_REQUEST_INIT;
	const struct mhost_event *ev;
	struct mhost *session;
	uint64_t id;
	int err;

	if (argc != 3) {
		fprintf(stderr, "usage: example MODEL PROMPT\n");
		return 2;
	}
	rq.model = argv[1];
	rq.text = argv[2];
	rq.max_tokens = 64;
	err = mhost_connect(&session, NULL);
	if (!err)
		err = mhost_submit(session, &rq, &id);
	while (!err && (err = mhost_next(session, -1, &ev)) == 0) {
		if (ev->type == MHOST_EVENT_BEGIN)
			printf("[%s@%s] ", ev->model, ev->version);
		if (ev->type == MHOST_EVENT_TOKEN)
			fwrite(ev->text, 1, ev->text_bytes, stdout);
		if (ev->type != MHOST_EVENT_END)
			continue;
		putchar('\n');
		err = ev->error;
		if (err)
			fprintf(stderr, "example: %s\n", ev->message);
		mhost_close(&session);
		return err ? 1 : 0;
	}
	fprintf(stderr, "example: %s\n", mhost_errmsg(session));
	mhost_close(&session);
	return 1;
}
