/* SPDX-License-Identifier: MIT */
/* bench_svg.h: figures as SVG, for pages that people read. */
#ifndef BENCH_SVG_H
#define BENCH_SVG_H

#include <stdint.h>

#define SVG_LINES	4u
#define SVG_POINTS	64u

struct svg_line {
	const char *name;
	double x[SVG_POINTS], y[SVG_POINTS];
	uint32_t count;
};

/* x is drawn on a scale of powers of two, y from zero. */
struct svg_plot {
	const char *title, *x_name, *y_name;
	struct svg_line lines[SVG_LINES];
	uint32_t line_count;
	int is_histogram;	/* x begins a bin that ends at the next x */
};

void svg_add(struct svg_plot *plot, uint32_t line, const char *name, double x, double y);
/* A line of the shares (percent) of @values in bins that are a quarter of a doubling wide. */
void svg_add_histogram(struct svg_plot *plot, uint32_t line, const char *name, double *values,
		       uint32_t count);
/* DIR/NAME.svg, the folder made when missing. 0 or negative errno. */
int svg_write(const struct svg_plot *plot, const char *dir, const char *name);

#endif
