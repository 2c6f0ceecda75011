// SPDX-License-Identifier: Apache-2.0
// What drivers share.
#include "driver.h"

#include "clock.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

void store_hint_take(struct store_hint *hint, uint32_t lease, bool freed)
{
	size_t i = 0;
	while (i < hint->freed_count && hint->freed[i] != lease)
		i++;
	if (i < hint->freed_count)
		hint->freed[i] = hint->freed[--hint->freed_count];
	if (freed && hint->freed_count < STORE_FREED)
		hint->freed[hint->freed_count++] = lease;
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
