/* SPDX-License-Identifier: MIT */
/* gra_schema_string.c: strings by length, pattern or format. */
#include <errno.h>
#include <string.h>

#include "gra_regex.h"
#include "gra_schema_priv.h"

#define DAY	"(0[1-9]|1[0-9]|2[0-8])"	/* that every month has */
#define DATE	"[12][0-9]{3}-(0[1-9]|1[0-2])-" DAY
#define TIME	"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
#define OCTET	"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
#define LABEL	"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?"
#define HOST	LABEL "(\\." LABEL "){0,4}"

/* Shapes that every reading of the format takes; not all of it. */
static const struct {
	const char *name, *pattern;
} formats[] = {
	{ "date", DATE },
	{ "time", TIME },
	{ "date-time", DATE "T" TIME },
	{ "duration", "P([0-9]{1,4}D|[0-9]{1,3}W|([0-9]{1,4}D)?T[0-9]{1,4}[HMS])" },
	{ "email", "[a-zA-Z0-9_]{1,30}([.+-][a-zA-Z0-9_]{1,20}){0,2}@" LABEL "(\\." LABEL "){0,2}\\.[a-z]{2,10}" },
	{ "hostname", HOST },
	{ "ipv4", OCTET "(\\." OCTET "){3}" },
	{ "ipv6", "([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}" },
	{ "uri", "https?://" HOST "(/[a-zA-Z0-9._~-]{1,40}){0,8}/?(\\?[a-zA-Z0-9=&._~-]{1,80})?" },
	{ "url", "https?://" HOST "(/[a-zA-Z0-9._~-]{1,40}){0,8}/?(\\?[a-zA-Z0-9=&._~-]{1,80})?" },
	{ "uuid", "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}" },
};

static int pattern_put(struct schema *s, const char *pattern, bool search, struct gra_text *to)
{
	struct gra_error error = { "" };
	int err;

	gra_text_put(to, "\"\\\"\" ");
	err = gra_regex(to, pattern, strlen(pattern), search, true, &error);
	gra_text_put(to, " \"\\\"\"");
	return err ? schema_fail(s, err, "\"pattern\": %.120s", error.text) : 0;
}

static int format_put(struct schema *s, const char *name, struct gra_text *to)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (!strcmp(formats[i].name, name))
			return pattern_put(s, formats[i].pattern, false, to);
	return schema_fail(s, -EINVAL, "\"format\" %.40s is not supported: give a \"pattern\", or leave it out", name);
}

int schema_string(struct schema *s, json_t *node, struct gra_text *to)
{
	const char *pattern = json_string_value(json_object_get(node, "pattern"));
	const char *format = json_string_value(json_object_get(node, "format"));
	uint32_t min = 0, max = GRA_NONE;
	int err = schema_count(s, node, "minLength", &min);

	err = err ? err : schema_count(s, node, "maxLength", &max);
	if (err)
		return err;
	if (max < min)
		return schema_fail(s, -EINVAL, "\"maxLength\" is below \"minLength\"");
	if ((pattern && format) || ((pattern || format) && (min || max != GRA_NONE)))
		return schema_fail(s, -EINVAL, "\"pattern\", \"format\" and lengths are not supported together: keep one");
	if (pattern)
		return pattern_put(s, pattern, true, to);
	if (format)
		return format_put(s, format, to);
	gra_text_put(to, "\"\\\"\" char");
	if (max == GRA_NONE)
		gra_text_put(to, "{%u,} \"\\\"\"", min);
	else
		gra_text_put(to, "{%u,%u} \"\\\"\"", min, max);
	return 0;
}
