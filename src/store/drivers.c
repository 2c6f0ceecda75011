// SPDX-License-Identifier: Apache-2.0
// The drivers that are compiled in, and what they share.
#include "driver.h"

#include "clock.h"

#include <limits.h>
#include <stdarg.h>

static const struct store_driver *const drivers[] = {
#ifdef WITH_PGSQL
	&store_postgresql,
#endif
#ifdef WITH_MYSQL
	&store_mysql,
#endif
#ifdef WITH_SQLITE
	&store_sqlite,
#endif
	&store_memory,
};

const struct store_driver *store_driver_find(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(drivers); i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}

const char *store_driver_names(void)
{
	return ""
#ifdef WITH_PGSQL
	       "postgresql, "
#endif
#ifdef WITH_MYSQL
	       "mysql, "
#endif
#ifdef WITH_SQLITE
	       "sqlite, "
#endif
	       "memory";
}

int store_check(
	const struct store_driver *driver, const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	return driver->check(config, ret_text);
}

int store_init_schema(
	const struct store_driver *driver, const struct store_config *config, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	int error = driver->check(config, ret_text);
	return error < 0 ? error : driver->init_schema(config, ret_text);
}

int store_print_schema(const struct store_driver *driver, const struct store_config *config, FILE *out)
{
	return driver->print_schema(config, out);
}

void store_text(char ret_text[static EXCHANGE_TEXT_SIZE], const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	store_text_v(ret_text, format, arguments);
	va_end(arguments);
}

// One line, whatever a server put into it.
void store_text_v(char ret_text[static EXCHANGE_TEXT_SIZE], const char *format, va_list arguments)
{
	int length = vsnprintf(ret_text, EXCHANGE_TEXT_SIZE, format, arguments);
	if (length < 0)
		ret_text[0] = '\0';
	for (char *c = ret_text; *c; c++)
		if (*c == '\n' || *c == '\r' || *c == '\t')
			*c = ' ';
	for (size_t end = strlen(ret_text); end > 0 && ret_text[end - 1] == ' '; end--)
		ret_text[end - 1] = '\0';
}

void store_answer_fail(struct store_answer *answer, enum exchange_outcome outcome, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	answer->reply->outcome = outcome;
	store_text_v(answer->reply->text, format, arguments);
	va_end(arguments);
}

int store_milliseconds_left(int64_t deadline_at)
{
	int64_t left_ns = deadline_at - clock_now_ns();
	if (left_ns <= 0)
		return 0;
	int64_t left_ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
	return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}
