/* SPDX-License-Identifier: MIT */
/*
 * log.h: one line to standard error per event, readable by a person and, with the <N> priority
 * prefix when JOURNAL_STREAM names our standard error, by journald. Also the always-on asserts.
 */
#ifndef LOG_H
#define LOG_H

enum log_level { LOG_LVL_ERROR = 3, LOG_LVL_WARNING = 4, LOG_LVL_NOTICE = 5, LOG_LVL_INFO = 6,
		 LOG_LVL_DEBUG = 7 };

/* @who is put in front of each line: "mhostd", "worker 2". Copied. */
void log_init(const char *who, int level);
void log_set_level(int level);
int log_level_parse(const char *name);	/* error warning notice info debug; -EINVAL */
void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)		log_line(LOG_LVL_ERROR, __VA_ARGS__)
#define log_warning(...)	log_line(LOG_LVL_WARNING, __VA_ARGS__)
#define log_notice(...)		log_line(LOG_LVL_NOTICE, __VA_ARGS__)
#define log_info(...)		log_line(LOG_LVL_INFO, __VA_ARGS__)
#define log_debug(...)		log_line(LOG_LVL_DEBUG, __VA_ARGS__)

/* A private invariant is broken: a bug. Says where, and aborts. */
#define must(cond)	((cond) ? (void)0 : log_broken(#cond, __FILE__, __LINE__))
void log_broken(const char *what, const char *file, int line) __attribute__((noreturn));

#endif
