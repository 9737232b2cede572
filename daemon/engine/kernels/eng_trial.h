/* SPDX-License-Identifier: MIT */
#ifndef ENG_TRIAL_H
#define ENG_TRIAL_H

#include <stdbool.h>

/*
 * Whether @works returns true in a child process. A CPU's flags are not always what the machine
 * below it keeps: an instruction that faults kills the child alone. @works may call only what a
 * fork of a threaded process may. False also when no child could be made.
 */
bool eng_trial(bool (*works)(void));

#endif
