/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_BYTES	1024

static char log_who[32] = "mhost";
static atomic_int log_max = LOG_LVL_INFO;
static bool log_journal;

static const char *const level_names[] = {
	[LOG_LVL_ERROR] = "error", [LOG_LVL_WARNING] = "warning", [LOG_LVL_NOTICE] = "notice",
	[LOG_LVL_INFO] = "info", [LOG_LVL_DEBUG] = "debug",
};

/* Whether JOURNAL_STREAM=DEVICE:INODE is what standard error is. */
static bool stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	if (!text || sscanf(text, "%llu:%llu", &device, &inode) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *who, int level)
{
	snprintf(log_who, sizeof(log_who), "%s", who);
	log_journal = stderr_is_journal();
	log_set_level(level);
}

void log_set_level(int level)
{
	atomic_store_explicit(&log_max, level, memory_order_relaxed);
}

int log_level_parse(const char *name)
{
	for (int level = LOG_LVL_ERROR; level <= LOG_LVL_DEBUG; level++)
		if (strcmp(name, level_names[level]) == 0)
			return level;
	return -EINVAL;
}

/* What a peer or a file put into a text must not break the line or the terminal. */
static void line_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

void log_line(int level, const char *format, ...)
{
	char text[LINE_BYTES], line[LINE_BYTES + 64];
	va_list args;
	int bytes;

	if (level > atomic_load_explicit(&log_max, memory_order_relaxed) ||
	    level < LOG_LVL_ERROR || level > LOG_LVL_DEBUG)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	line_clean(text);
	if (log_journal)
		bytes = snprintf(line, sizeof(line), "<%d>%s: %s\n", level, log_who, text);
	else if (level <= LOG_LVL_WARNING)
		bytes = snprintf(line, sizeof(line), "%s: %s: %s\n", log_who, level_names[level], text);
	else
		bytes = snprintf(line, sizeof(line), "%s: %s\n", log_who, text);
	/*
	 * One write, so that lines of several processes never mix. A full disk is no reason to die.
	 */
	if (write(STDERR_FILENO, line, (size_t)bytes) < 0)
		return;
}

void log_broken(const char *what, const char *file, int line)
{
	log_line(LOG_LVL_ERROR, "broken invariant (%s) at %s:%d; this is a bug", what, file, line);
	abort();
}
