/* SPDX-License-Identifier: MIT */
/* bar.c: progress of one long thing, on a terminal. */
#include <stdio.h>

#include "cmd.h"

#define BAR_WIDTH	30

void cmd_bar(int *shown, const char *step, uint64_t done, uint64_t all)
{
	int per_mille = all && done < all ? (int)(done * 1000 / all) : 1000;
	char bar[BAR_WIDTH + 1];

	if (per_mille == *shown)
		return;
	*shown = per_mille;
	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < per_mille * BAR_WIDTH / 1000 ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%s [%s] %3d %%  %.1f GB", step, bar, per_mille / 10, (double)done / 1e9);
	fflush(stderr);
}

void cmd_bar_clear(int *shown)
{
	if (*shown >= 0)
		fprintf(stderr, "\r\033[K");
	*shown = -1;
}
