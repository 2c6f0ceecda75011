// SPDX-License-Identifier: Apache-2.0
// What goes into PostgreSQL's statements as text.
#include "postgresql_text.h"

#include <stdlib.h>

// ---- arrays ----

// Names have no characters that would have to be escaped, and neither have reasons.
static void write_quoted(FILE *out, const char *text)
{
	fprintf(out, "\"%s\"", text ? text : "");
}

static void write_uuid(FILE *out, const struct uuid *id)
{
	char text[UUID_TEXT_SIZE];
	uuid_format(id, text);
	fputs(uuid_is_none(id) ? "NULL" : text, out);
}

static void write_number(FILE *out, int64_t number)
{
	fprintf(out, "%lld", (long long)number);
}

static void write_item(FILE *out, enum pg_array which, const struct exchange_request *request,
	const struct store_names *names, size_t i)
{
	switch (which) {
	case PG_RELEASE_NAMES:
		write_quoted(out, names->name[request->releases[i].lease]);
		break;
	case PG_RELEASE_TERMS:
		write_number(out, (int64_t)request->releases[i].term);
		break;
	case PG_RELEASE_REASONS:
		write_quoted(out, request->releases[i].reason);
		break;
	case PG_CLAIM_NAMES:
		write_quoted(out, names->name[request->claims[i].lease]);
		break;
	case PG_CLAIM_MISSING:
		fputc(request->claims[i].missing ? 't' : 'f', out);
		break;
	case PG_CLAIM_HOLDERS:
		write_uuid(out, &request->claims[i].holder);
		break;
	case PG_CLAIM_SEQS:
		write_number(out, request->claims[i].holder_seq);
		break;
	case PG_CLAIM_TERMS:
		write_number(out, (int64_t)request->claims[i].term);
		break;
	case PG_SWEEP_SESSIONS:
		write_uuid(out, &request->sweeps[i].session);
		break;
	case PG_SWEEP_SEQS:
		write_number(out, request->sweeps[i].seq);
		break;
	case PG_EVERY_NAME:
	default:
		write_quoted(out, names->name[i]);
		break;
	}
}

static size_t count_items(enum pg_array which, const struct exchange_request *request, const struct store_names *names)
{
	if (which <= PG_RELEASE_REASONS)
		return request->release_count;
	if (which <= PG_CLAIM_TERMS)
		return request->claim_count;
	return which <= PG_SWEEP_SEQS ? request->sweep_count : names->count;
}

// The text that was written, or NULL where memory ran out.
static char *close_text(FILE *out, char **text)
{
	bool failed = ferror(out);
	if (fclose(out) == 0 && !failed)
		return *text;
	free(*text);
	return NULL;
}

char *pg_array_text(enum pg_array which, const struct exchange_request *request, const struct store_names *names)
{
	char *text = NULL;
	size_t size, count = count_items(which, request, names);
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	fputc('{', out);
	for (size_t i = 0; i < count; i++) {
		if (i)
			fputc(',', out);
		write_item(out, which, request, names, i);
	}
	fputc('}', out);
	return close_text(out, &text);
}

char *pg_names_text(const uint32_t *leases, size_t count, const struct store_names *names)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		fputc(i ? ',' : '{', out);
		write_quoted(out, names->name[leases[i]]);
	}
	fputs(count ? "}" : "{}", out);
	return close_text(out, &text);
}

char *pg_holders_text(const struct store_known *known)
{
	char *text = NULL, id[UUID_TEXT_SIZE];
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	for (size_t i = 0; i < known->holder_count; i++) {
		uuid_format(&known->holders[i].id, id);
		fprintf(out, "%c%s", i ? ',' : '{', id);
	}
	fputs(known->holder_count ? "}" : "{}", out);
	return close_text(out, &text);
}

// ---- lists ----

char *pg_rotate(const char *list, size_t by)
{
	size_t count = 1;
	for (const char *c = list; *c; c++)
		count += *c == ',';
	const char *start = list;
	for (by %= count; by > 0; by--)
		start = strchr(start, ',') + 1;
	char *rotated = NULL;
	int length = start == list ? asprintf(&rotated, "%s", list)
				   : asprintf(&rotated, "%s,%.*s", start, (int)(start - list - 1), list);
	return length < 0 ? NULL : rotated;
}

// ---- names of the schema ----

void pg_write_identifier(FILE *out, const char *name)
{
	fputc('"', out);
	for (; *name; name++)
		fputs(*name == '"' ? "\"\"" : (char[]){*name, '\0'}, out);
	fputc('"', out);
}

char *pg_with_schema(const char *sql, const char *schema)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	for (; *sql; sql++) {
		if (*sql != '@') {
			fputc(*sql, out);
		} else if (schema && schema[0]) {
			pg_write_identifier(out, schema);
			fputc('.', out);
		}
	}
	return close_text(out, &text);
}
