/* SPDX-License-Identifier: MIT */
#include "bench_svg.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define WIDTH		640.0
#define HEIGHT		360.0
#define LEFT		70.0
#define RIGHT		20.0
#define TOP		50.0
#define BOTTOM		50.0
#define BINS_PER_DOUBLING	4.0

struct scale {
	double x_min, x_max;	/* as logarithms to base 2 */
	double y_max, y_step;
};

void svg_add(struct svg_plot *plot, uint32_t line, const char *name, double x, double y)
{
	struct svg_line *l = &plot->lines[line];

	if (line >= SVG_LINES || l->count >= SVG_POINTS || !(x > 0))
		return;
	l->name = name;
	l->x[l->count] = x;
	l->y[l->count++] = y;
	if (plot->line_count <= line)
		plot->line_count = line + 1;
}

void svg_add_histogram(struct svg_plot *plot, uint32_t line, const char *name, double *values,
		       uint32_t count)
{
	double low = INFINITY, high = 0, share[SVG_POINTS] = { 0 };
	int first, last;

	for (uint32_t i = 0; i < count; i++) {
		values[i] = fmax(values[i], 1e-3);
		low = fmin(low, values[i]);
		high = fmax(high, values[i]);
	}
	if (!count)
		return;
	first = (int)floor(log2(low) * BINS_PER_DOUBLING);
	last = (int)floor(log2(high) * BINS_PER_DOUBLING);
	if (last - first > (int)SVG_POINTS - 2) /* what lies far out is told in the last bin */
		last = first + (int)SVG_POINTS - 2;
	for (uint32_t i = 0; i < count; i++) {
		int bin = (int)floor(log2(values[i]) * BINS_PER_DOUBLING);

		share[(bin > last ? last : bin) - first] += 100.0 / count;
	}
	for (int bin = first; bin <= last + 1; bin++)
		svg_add(plot, line, name, exp2(bin / BINS_PER_DOUBLING),
			bin > last ? 0 : share[bin - first]);
}

/* Steps of 1, 2 or 5 times a power of ten, five to ten of them. */
static void scale_y(struct scale *s, double top)
{
	double step = pow(10, floor(log10(top > 0 ? top : 1)));

	if (top / step < 2)
		step /= 5;
	else if (top / step < 5)
		step /= 2;
	s->y_step = step;
	s->y_max = ceil(top / step) * step;
}

static struct scale scale_of(const struct svg_plot *plot)
{
	struct scale s = { .x_min = INFINITY, .x_max = -INFINITY };
	double top = 0;

	for (uint32_t i = 0; i < plot->line_count; i++) {
		const struct svg_line *l = &plot->lines[i];

		for (uint32_t j = 0; j < l->count; j++) {
			s.x_min = fmin(s.x_min, log2(l->x[j]));
			s.x_max = fmax(s.x_max, log2(l->x[j]));
			top = fmax(top, l->y[j]);
		}
	}
	if (s.x_max <= s.x_min)
		s.x_max = s.x_min + 1;
	scale_y(&s, top);
	return s;
}

static double at_x(const struct scale *s, double x)
{
	return LEFT + (log2(x) - s->x_min) / (s->x_max - s->x_min) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct scale *s, double y)
{
	return HEIGHT - BOTTOM - y / s->y_max * (HEIGHT - TOP - BOTTOM);
}

static void axes(FILE *f, const struct svg_plot *plot, const struct scale *s)
{
	fprintf(f, "<text x=\"%g\" y=\"20\" font-size=\"14\">%s</text>\n", LEFT, plot->title);
	fprintf(f, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>\n",
		(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, plot->x_name);
	fprintf(f,
		"<text x=\"16\" y=\"%g\" text-anchor=\"middle\" transform=\"rotate(-90 16 %g)\">%s"
		"</text>\n",
		(TOP + HEIGHT - BOTTOM) / 2, (TOP + HEIGHT - BOTTOM) / 2, plot->y_name);
	for (double y = 0; y <= s->y_max * 1.0001; y += s->y_step)
		fprintf(f,
			"<path d=\"M%g %.1fH%g\" stroke=\"#ddd\"/><text x=\"%g\" y=\"%.1f\" "
			"text-anchor=\"end\">%g</text>\n",
			LEFT, at_y(s, y), WIDTH - RIGHT, LEFT - 6, at_y(s, y) + 4, y);
	for (double x = ceil(s->x_min - 1e-9); x <= s->x_max + 1e-9; x++)
		fprintf(f, "<path d=\"M%.1f %gv5\" stroke=\"#000\"/><text x=\"%.1f\" y=\"%g\" "
			"text-anchor=\"middle\">%g</text>\n", at_x(s, exp2(x)), HEIGHT - BOTTOM,
			at_x(s, exp2(x)), HEIGHT - BOTTOM + 18, exp2(x));
	fprintf(f, "<path d=\"M%g %gH%g\" stroke=\"#000\"/>\n", LEFT, HEIGHT - BOTTOM,
		WIDTH - RIGHT);
}

static void draw_line(FILE *f, const struct svg_plot *plot, uint32_t index, const struct scale *s)
{
	static const char *const colours[SVG_LINES] = { "#0b62a4", "#d1495b", "#3f8f4f",
							"#8a5fbf" };
	const struct svg_line *l = &plot->lines[index];

	fprintf(f, "<g stroke=\"%s\"><path fill=\"none\" stroke-width=\"2\" d=\"", colours[index]);
	for (uint32_t i = 0; i < l->count; i++) {
		if (i && plot->is_histogram)
			fprintf(f, "H%.1fV%.1f", at_x(s, l->x[i]), at_y(s, l->y[i]));
		else
			fprintf(f, "%c%.1f %.1f", i ? 'L' : 'M', at_x(s, l->x[i]),
				at_y(s, l->y[i]));
	}
	fprintf(f, "\"/>");
	for (uint32_t i = 0; i < l->count && !plot->is_histogram; i++)
		fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"#fff\"/>",
			at_x(s, l->x[i]), at_y(s, l->y[i]));
	fprintf(f, "<path stroke-width=\"2\" d=\"M%g 36h20\"/></g>", LEFT + 180.0 * index);
	fprintf(f, "<text x=\"%g\" y=\"40\">%s</text>\n", LEFT + 180.0 * index + 25, l->name);
}

static void draw(FILE *f, const struct svg_plot *plot)
{
	struct scale s = scale_of(plot);

	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<path fill=\"#fff\" d=\"M0 0h%gv%gH0z\"/>\n",
		WIDTH, HEIGHT, WIDTH, HEIGHT);
	axes(f, plot, &s);
	for (uint32_t i = 0; i < plot->line_count; i++)
		draw_line(f, plot, i, &s);
	fprintf(f, "</svg>\n");
}

int svg_write(const struct svg_plot *plot, const char *dir, const char *name)
{
	char path[4096];
	FILE *f;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/%s.svg", dir, name);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	draw(f, plot);
	return fclose(f) ? -EIO : 0;
}
