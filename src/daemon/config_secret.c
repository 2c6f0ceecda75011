// SPDX-License-Identifier: Apache-2.0
// The secrets of a configuration: where they may come from, and that they are not shown.
#include "config_value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLANKS " \t\r\n\f\v"
#define SAY(why, ...) snprintf(why, CONFIG_WHY_BYTES, __VA_ARGS__)

// `name` need not end with a NUL. libpq has "password" and "sslpassword"; newer ones have keys derived from them.
static bool is_secret(const char *name, size_t length)
{
	char word[32];
	snprintf(word, sizeof word, "%.*s", (int)length, name);
	return strstr(word, "password") != NULL || strncmp(word, "scram_", strlen("scram_")) == 0;
}

static void put(FILE *redacted, const char *text, size_t length)
{
	if (redacted != NULL)
		fwrite(text, 1, length, redacted);
}

static void put_secret(FILE *redacted)
{
	put(redacted, "***", 3);
}

// ---- keyword=value ----

// The end of a value that may be quoted and escaped; NULL where its quote is not closed.
static const char *skip_value(const char *text)
{
	const bool quoted = *text == '\'';
	if (quoted)
		text++;
	for (; *text != '\0'; text++) {
		if (*text == '\\' && text[1] != '\0')
			text++;
		else if (quoted && *text == '\'')
			return text + 1;
		else if (!quoted && strchr(BLANKS, *text) != NULL)
			return text;
	}
	return quoted ? NULL : text;
}

static int redact_keywords(const char *text, FILE *redacted, char *why)
{
	int secrets = 0;
	for (text += strspn(text, BLANKS); *text != '\0'; text += strspn(text, BLANKS)) {
		const char *name = text;
		const size_t length = strcspn(name, "=" BLANKS);
		const char *equals = name + length + strspn(name + length, BLANKS);
		if (length == 0 || *equals != '=') {
			SAY(why, "a word without its \"=\"; keyword=value pairs with blanks between them, a value with "
				 "blanks "
				 "in single quotes, or postgresql://…");
			return -EINVAL;
		}
		const char *value = equals + 1 + strspn(equals + 1, BLANKS);
		text = skip_value(value);
		if (text == NULL) {
			SAY(why,
				"a single quote without its second; in a quoted value write \\' for ' and \\\\ for \\");
			return -EINVAL;
		}
		put(redacted, " ", redacted != NULL && ftell(redacted) > 0 ? 1 : 0);
		put(redacted, name, length);
		put(redacted, "=", 1);
		if (!is_secret(name, length)) {
			put(redacted, value, (size_t)(text - value));
			continue;
		}
		put_secret(redacted);
		secrets = 1;
	}
	return secrets;
}

// ---- postgresql://user:password@host/database?name=value&… ----

static int redact_user(const char *start, const char *at, FILE *redacted)
{
	const char *colon = memchr(start, ':', (size_t)(at - start));
	if (colon == NULL) {
		put(redacted, start, (size_t)(at - start));
		return 0;
	}
	put(redacted, start, (size_t)(colon + 1 - start));
	put_secret(redacted);
	return 1;
}

static int redact_query(const char *query, FILE *redacted)
{
	int secrets = 0;
	while (*query != '\0') {
		const size_t length = strcspn(query, "&");
		const size_t name = strcspn(query, "=&");
		// A name with escapes could be any name.
		const bool secret = name < length && (is_secret(query, name) || memchr(query, '%', name) != NULL);
		put(redacted, query, secret ? name + 1 : length);
		if (secret) {
			put_secret(redacted);
			secrets = 1;
		}
		query += length;
		put(redacted, query, *query != '\0' ? 1 : 0);
		query += *query != '\0' ? 1 : 0;
	}
	return secrets;
}

static int redact_uri(const char *text, FILE *redacted)
{
	const char *start = strstr(text, "://") + strlen("://");
	const size_t length = strcspn(start, "?");
	int secrets = 0;
	put(redacted, text, (size_t)(start - text));
	// The last @: a password with an unescaped one must not show its rest.
	const char *at = memrchr(start, '@', length);
	if (at != NULL) {
		secrets = redact_user(start, at, redacted);
		put(redacted, at, (size_t)(start + length - at));
	} else {
		put(redacted, start, length);
	}
	if (start[length] == '\0')
		return secrets;
	put(redacted, "?", 1);
	return redact_query(start + length + 1, redacted) | secrets;
}

int config_redact_conninfo(const char *text, FILE *redacted, char why[static CONFIG_WHY_BYTES])
{
	if (strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0)
		return redact_uri(text, redacted);
	return redact_keywords(text, redacted, why);
}

static int parse_conninfo(
	const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	const int result = config_redact_conninfo(text, NULL, why);
	if (result < 0)
		return result;
	char *copy = strdup(text);
	if (copy == NULL) {
		SAY(why, "out of memory");
		return -ENOMEM;
	}
	*(char **)field = copy;
	return 0;
}

static int print_conninfo(const void *field, char **ret_text)
{
	const char *const *conninfo = field;
	char why[CONFIG_WHY_BYTES];
	size_t size;
	*ret_text = NULL;
	if (*conninfo == NULL)
		return 0;
	FILE *out = open_memstream(ret_text, &size);
	if (out == NULL)
		return -errno;
	const int result = config_redact_conninfo(*conninfo, out, why);
	if (fclose(out) == 0 && result >= 0)
		return 0;
	free(*ret_text);
	*ret_text = NULL;
	return result < 0 ? result : -ENOMEM;
}

static void clear_conninfo(void *field)
{
	char **conninfo = field;
	if (*conninfo != NULL)
		explicit_bzero(*conninfo, strlen(*conninfo));
	free(*conninfo);
	*conninfo = NULL;
}

const struct config_kind config_conninfo = {parse_conninfo, print_conninfo, clear_conninfo, sizeof(char *)};

// ---- password file ----

// The service manager keeps its credentials from others with an access list, and their mode shows that list's mask.
static bool is_credential(const char *path)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	const size_t length = directory != NULL ? strlen(directory) : 0;
	return length > 0 && strncmp(path, directory, length) == 0 && path[length] == '/';
}

static int check_file(int fd, const char *path, char *why)
{
	struct stat status;
	if (fstat(fd, &status) != 0) {
		const int result = -errno;
		SAY(why, "cannot be looked at: %s", strerror(-result));
		return result;
	}
	if (!S_ISREG(status.st_mode)) {
		SAY(why, "is no regular file; a file with the password as its only line");
		return -EINVAL;
	}
	if (status.st_uid != geteuid() && status.st_uid != 0) {
		SAY(why, "belongs to another user, who knows what is in it; chown it to the daemon's user or to root");
		return -EPERM;
	}
	const mode_t others = is_credential(path) ? S_IRWXO : S_IRWXG | S_IRWXO;
	if ((status.st_mode & others) != 0) {
		SAY(why, "mode %04o lets others at it; a file for its owner alone: chmod 0600", status.st_mode & 07777);
		return -EPERM;
	}
	return 0;
}

static int read_line(int fd, char *buffer, size_t size, char *why)
{
	size_t used = 0;
	for (ssize_t got = 1; got > 0 && used < size; used += (size_t)got) {
		got = read(fd, buffer + used, size - used);
		if (got < 0) {
			const int result = -errno;
			SAY(why, "cannot be read: %s", strerror(-result));
			return result;
		}
	}
	if (used > 0 && used <= CONFIG_PASSWORD_BYTES + 1 && buffer[used - 1] == '\n')
		used--;
	if (used == 0 || used > CONFIG_PASSWORD_BYTES || memchr(buffer, '\n', used) != NULL ||
		memchr(buffer, '\0', used) != NULL) {
		SAY(why, "does not hold a password; one line of 1 to %d bytes without NUL", CONFIG_PASSWORD_BYTES);
		return -EINVAL;
	}
	buffer[used] = '\0';
	return 0;
}

static int open_secret(const char *path, char *why)
{
	// Not blocking: it could be a pipe.
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0)
		return fd;
	const int error = -errno;
	SAY(why, "\"%.80s\" cannot be opened: %s", path, strerror(-error));
	return error;
}

int config_read_password(const char *path, char **ret, char why[static CONFIG_WHY_BYTES])
{
	char buffer[CONFIG_PASSWORD_BYTES + 2];
	const int fd = open_secret(path, why);
	if (fd < 0)
		return fd;
	int result = check_file(fd, path, why);
	if (result == 0)
		result = read_line(fd, buffer, sizeof buffer, why);
	if (result == 0) {
		*ret = strdup(buffer);
		result = *ret != NULL ? 0 : -ENOMEM;
	}
	explicit_bzero(buffer, sizeof buffer);
	close(fd);
	return result;
}

// ---- option file ----

static bool holds_password(FILE *file)
{
	static const char key[] = "password";
	char line[CONFIG_PASSWORD_BYTES];
	bool found = false;
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = strncmp(line + strspn(line, BLANKS), key, strlen(key)) == 0;
	explicit_bzero(line, sizeof line);
	return found;
}

int config_check_defaults_file(const char *path, char why[static CONFIG_WHY_BYTES])
{
	struct stat status;
	const int fd = open_secret(path, why);
	if (fd < 0)
		return fd;
	int result = fstat(fd, &status) != 0 ? -errno : 0;
	FILE *file = result == 0 ? fdopen(fd, "r") : NULL;
	if (file == NULL) {
		result = result < 0 ? result : -errno;
		SAY(why, "cannot be looked at: %s", strerror(-result));
		close(fd);
		return result;
	}
	const bool told = (status.st_mode & S_IRWXO) != 0 && holds_password(file);
	fclose(file);
	if (!told)
		return 0;
	SAY(why, "holds a password, and mode %04o lets others at it; chmod o-rwx it", status.st_mode & 07777);
	return -EPERM;
}
