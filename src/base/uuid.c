// SPDX-License-Identifier: Apache-2.0
#include "base.h"

#include <errno.h>
#include <sys/random.h>

static bool has_dash_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_format(const struct uuid *id, char ret_text[static UUID_TEXT_SIZE])
{
	static const char digit[] = "0123456789abcdef";
	char *out = ret_text;
	for (size_t i = 0; i < sizeof id->byte; i++) {
		if (has_dash_before(i))
			*out++ = '-';
		*out++ = digit[id->byte[i] >> 4];
		*out++ = digit[id->byte[i] & 15];
	}
	*out = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -EINVAL;
}

int uuid_parse(const char *text, struct uuid *ret)
{
	struct uuid id;
	for (size_t i = 0; i < sizeof id.byte; i++) {
		if (has_dash_before(i) && *text++ != '-')
			return -EINVAL;
		int high = hex_value(text[0]);
		int low = high < 0 ? high : hex_value(text[1]);
		if (low < 0)
			return -EINVAL;
		id.byte[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	if (*text != '\0')
		return -EINVAL;
	*ret = id;
	return 0;
}

int uuid_random(struct uuid *ret)
{
	struct uuid id;
	if (getrandom(id.byte, sizeof id.byte, 0) != (ssize_t)sizeof id.byte)
		return -EIO;
	id.byte[6] = (uint8_t)((id.byte[6] & 0x0f) | 0x40);
	id.byte[8] = (uint8_t)((id.byte[8] & 0x3f) | 0x80);
	*ret = id;
	return 0;
}

bool name_is_valid(const char *name)
{
	size_t length = strlen(name);
	return length >= 1 && length <= NAME_BYTES &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:") == length;
}
