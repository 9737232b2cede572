/* SPDX-License-Identifier: MIT */
/* message.h: a chat reply as the message that it is. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include "cmd.h"

#define MESSAGE_FORM_AUTO	UINT32_MAX	/* as the reply's own BEGIN says */

/*
 * role, content, and where there is any, reasoning_content and tool_calls, as chat templates take them back. NULL: out of
 * memory.
 */
json_t *message_of(const struct reply *reply, uint32_t form);

#endif
