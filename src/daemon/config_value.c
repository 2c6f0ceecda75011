// SPDX-License-Identifier: Apache-2.0
// The kinds of values a configuration has.
#include "config_value.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HOST_BYTES 256
#define MACHINE_ID_PATH "/etc/machine-id"
#define SCHEMA_BYTES 63
#define MODE_MAX 0777
#define PORT_DIGITS 5
#define SOCKET_PATH_BYTES sizeof((struct sockaddr_un *)NULL)->sun_path

// More would be refused by every option's range.
#define DURATION_DIGITS 7
#define ID_DIGITS 10
// Fits any kind of number; ranges say more.
#define NUMBER_DIGITS 9

#define SAY(why, ...) snprintf(why, CONFIG_WHY_BYTES, __VA_ARGS__)

static int print_string(const void *field, char **ret_text)
{
	const char *const *string = field;
	*ret_text = NULL;
	if (*string == NULL)
		return 0;
	*ret_text = strdup(*string);
	return *ret_text != NULL ? 0 : -ENOMEM;
}

static void clear_string(void *field)
{
	char **string = field;
	free(*string);
	*string = NULL;
}

static int take_string(const char *text, char **string, char *why)
{
	*string = strdup(text);
	if (*string == NULL) {
		SAY(why, "out of memory");
		return -ENOMEM;
	}
	return 0;
}

// ---- node ----

static int read_machine_id(char *ret, size_t size)
{
	FILE *file = fopen(MACHINE_ID_PATH, "re");
	if (file == NULL)
		return -errno;
	const bool read = fgets(ret, (int)size, file) != NULL;
	fclose(file);
	if (!read)
		return -EIO;
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

// Writes what %`letter` stands for; 0 or -errno.
static int expand_specifier(char letter, const struct config_env *env, FILE *out, char *why)
{
	char text[HOST_BYTES] = "";
	int result = 0;
	switch (letter) {
	case 'H':
		if (env->host == NULL && gethostname(text, sizeof text - 1) != 0)
			result = -errno;
		fputs(env->host != NULL ? env->host : text, out);
		break;
	case 'm':
		if (env->machine_id == NULL)
			result = read_machine_id(text, sizeof text);
		fputs(env->machine_id != NULL ? env->machine_id : text, out);
		break;
	case '%':
		fputc('%', out);
		break;
	default:
		SAY(why, "%% is followed by something unknown; %%H is the host name, %%m the machine id, %%%% a "
			 "percent sign");
		return -EINVAL;
	}
	if (result < 0)
		SAY(why, "%%%c cannot be found out: %s; write a name instead", letter, strerror(-result));
	return result;
}

static int expand_node(const char *text, const struct config_env *env, FILE *out, char *why)
{
	for (; *text != '\0'; text++) {
		if (*text != '%') {
			fputc(*text, out);
			continue;
		}
		const int result = expand_specifier(*++text, env, out, why);
		if (result < 0)
			return result;
	}
	return 0;
}

static int finish_stream(FILE *stream, int result, char **text, char *why)
{
	if (fclose(stream) != 0 && result == 0) {
		SAY(why, "out of memory");
		result = -ENOMEM;
	}
	if (result < 0) {
		free(*text);
		*text = NULL;
	}
	return result;
}

static int parse_node(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	char **node = field;
	size_t size;
	FILE *out = open_memstream(node, &size);
	if (out == NULL)
		return -errno;
	const int result = finish_stream(out, expand_node(text, env, out, why), node, why);
	if (result < 0)
		return result;
	if (!name_is_valid(*node)) {
		SAY(why, "\"%.80s\" is no name of a node; 1 to %d letters, digits and . _ - :", *node, NAME_BYTES);
		clear_string(node);
		return -EINVAL;
	}
	return 0;
}

static int parse_name(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	if (!name_is_valid(text)) {
		SAY(why, "\"%.80s\" is no name; 1 to %d letters, digits and . _ - :", text, NAME_BYTES);
		return -EINVAL;
	}
	return take_string(text, field, why);
}

const struct config_kind config_name = {parse_name, print_string, clear_string, sizeof(char *)};
const struct config_kind config_node = {parse_node, print_string, clear_string, sizeof(char *)};

// ---- path ----

// Writes what ${NAME} stands for and moves past it.
static int expand_variable(const char **text, FILE *out, char *why)
{
	const char *start = *text + strlen("${");
	const char *end = strchr(start, '}');
	if (end == NULL) {
		SAY(why, "\"${\" without its \"}\"; ${NAME} is an environment variable");
		return -EINVAL;
	}
	char name[NAME_BYTES + 1];
	snprintf(name, sizeof name, "%.*s", (int)(end - start), start);
	const char *value = getenv(name);
	if (value == NULL || *value == '\0') {
		SAY(why, "the environment variable %s is not set; set it or write the path itself", name);
		return -EINVAL;
	}
	fputs(value, out);
	*text = end + 1;
	return 0;
}

static int expand_path(const char *text, FILE *out, char *why)
{
	while (*text != '\0') {
		if (strncmp(text, "${", 2) != 0) {
			fputc(*text++, out);
			continue;
		}
		const int result = expand_variable(&text, out, why);
		if (result < 0)
			return result;
	}
	return 0;
}

static int parse_path(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	char **path = field;
	size_t size;
	FILE *out = open_memstream(path, &size);
	if (out == NULL)
		return -errno;
	const int result = finish_stream(out, expand_path(text, out, why), path, why);
	if (result < 0)
		return result;
	// A variable's value that would be expanded again could not be dumped.
	if ((*path)[0] != '/' || strstr(*path, "${") != NULL) {
		SAY(why,
			"\"%.80s\" is no absolute path; one that begins with /, and ${NAME} is an environment variable",
			*path);
		clear_string(path);
		return -EINVAL;
	}
	return 0;
}

const struct config_kind config_path = {parse_path, print_string, clear_string, sizeof(char *)};

// ---- group, users ----

// The last id is the one that means "none".
static bool parse_id(const char *text, id_t *ret)
{
	const size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > ID_DIGITS || text[digits] != '\0' || strtoll(text, NULL, 10) >= UINT32_MAX)
		return false;
	*ret = (id_t)strtoll(text, NULL, 10);
	return true;
}

int config_find_group(const char *text, gid_t *ret)
{
	if (parse_id(text, ret))
		return 0;
	const struct group *entry = getgrnam(text);
	if (entry == NULL)
		return -ENOENT;
	*ret = entry->gr_gid;
	return 0;
}

static int parse_group(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	gid_t gid;
	if (config_find_group(text, &gid) < 0) {
		SAY(why, "there is no group \"%.80s\"; the name of an existing group, or a number", text);
		return -EINVAL;
	}
	return take_string(text, field, why);
}

const struct config_kind config_group = {parse_group, print_string, clear_string, sizeof(char *)};

static void clear_ids(void *field)
{
	struct config_ids *ids = field;
	for (size_t i = 0; i < ids->count; i++)
		free(ids->items[i].name);
	free(ids->items);
	*ids = (struct config_ids){0};
}

static int find_user(const char *name, id_t *ret)
{
	if (parse_id(name, ret))
		return 0;
	const struct passwd *entry = getpwnam(name);
	if (entry == NULL)
		return -ENOENT;
	*ret = entry->pw_uid;
	return 0;
}

// "user" or "group".
typedef int find_id_fn(const char *name, id_t *ret);

static int add_id(struct config_ids *ids, const char *name, find_id_fn *find, const char *what, char *why)
{
	if (ids->count == CONFIG_USERS_MAX) {
		SAY(why, "more than %d %ss", CONFIG_USERS_MAX, what);
		return -EINVAL;
	}
	struct config_id id;
	if (find(name, &id.id) < 0) {
		SAY(why, "there is no %s \"%.80s\"; names of existing %ss, or numbers, with commas between them", what,
			name, what);
		return -EINVAL;
	}
	int result = take_string(name, &id.name, why);
	if (result < 0)
		return result;
	struct config_id *items = realloc(ids->items, (ids->count + 1) * sizeof *items);
	if (items == NULL) {
		SAY(why, "out of memory");
		free(id.name);
		return -ENOMEM;
	}
	ids->items = items;
	items[ids->count++] = id;
	return 0;
}

static int parse_ids(const char *text, struct config_ids *ids, find_id_fn *find, const char *what, char *why)
{
	char *copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	int result = 0;
	char *rest;
	for (char *name = strtok_r(copy, ", \t", &rest); name != NULL && result == 0;
		name = strtok_r(NULL, ", \t", &rest))
		result = add_id(ids, name, find, what, why);
	free(copy);
	// An empty list could be read as everybody or as nobody.
	if (result == 0 && ids->count == 0) {
		SAY(why,
			"no name; names of %ss with commas between them, or no such line for whoever can open the "
			"socket",
			what);
		result = -EINVAL;
	}
	if (result < 0)
		clear_ids(ids);
	return result;
}

static int parse_users(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	return parse_ids(text, field, find_user, "user", why);
}

static int parse_groups(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	return parse_ids(text, field, config_find_group, "group", why);
}

static int print_ids(const void *field, char **ret_text)
{
	const struct config_ids *ids = field;
	*ret_text = NULL;
	if (ids->count == 0)
		return 0;
	size_t size;
	FILE *out = open_memstream(ret_text, &size);
	if (out == NULL)
		return -errno;
	for (size_t i = 0; i < ids->count; i++)
		fprintf(out, "%s%s", i > 0 ? ", " : "", ids->items[i].name);
	char why[CONFIG_WHY_BYTES];
	return finish_stream(out, 0, ret_text, why);
}

const struct config_kind config_users = {parse_users, print_ids, clear_ids, sizeof(struct config_ids)};
const struct config_kind config_groups = {parse_groups, print_ids, clear_ids, sizeof(struct config_ids)};

// ---- number, choice ----

static int parse_whole(const char *text, int64_t *ret, char *why)
{
	const char *digits = text + (*text == '-');
	const size_t count = strspn(digits, "0123456789");
	if (count == 0 || count > NUMBER_DIGITS || digits[count] != '\0') {
		SAY(why, "\"%.80s\" is no whole number, such as 100", text);
		return -EINVAL;
	}
	*ret = strtoll(text, NULL, 10);
	return 0;
}

static int parse_count(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	return parse_whole(text, field, why);
}

static int print_count(const void *field, char **ret_text)
{
	return asprintf(ret_text, "%" PRId64, *(const int64_t *)field) >= 0 ? 0 : -ENOMEM;
}

const struct config_kind config_count = {parse_count, print_count, NULL, sizeof(int64_t)};

static int parse_number(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	int64_t number;
	(void)env;
	const int result = parse_whole(text, &number, why);
	if (result == 0)
		*(int32_t *)field = (int32_t)number;
	return result;
}

static int print_number(const void *field, char **ret_text)
{
	return asprintf(ret_text, "%" PRId32, *(const int32_t *)field) >= 0 ? 0 : -ENOMEM;
}

const struct config_kind config_number = {parse_number, print_number, NULL, sizeof(int32_t)};

static int parse_unless(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	const bool yes = strcmp(text, "yes") == 0;
	if (!yes && strcmp(text, "no") != 0) {
		SAY(why, "\"%.80s\" is neither; yes or no", text);
		return -EINVAL;
	}
	*(bool *)field = !yes;
	return 0;
}

static int print_unless(const void *field, char **ret_text)
{
	*ret_text = strdup(*(const bool *)field ? "no" : "yes");
	return *ret_text != NULL ? 0 : -ENOMEM;
}

const struct config_kind config_unless = {parse_unless, print_unless, NULL, sizeof(bool)};

// ---- mode, level, driver, schema ----

static int parse_mode(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	const size_t digits = strspn(text, "01234567");
	const unsigned long mode = strtoul(text, NULL, 8);
	if (digits == 0 || digits > 4 || text[digits] != '\0' || mode > MODE_MAX) {
		SAY(why, "\"%.80s\" is no mode of a socket; an octal number from 0 to 0777, such as 0660", text);
		return -EINVAL;
	}
	*(mode_t *)field = (mode_t)mode;
	return 0;
}

static int print_mode(const void *field, char **ret_text)
{
	return asprintf(ret_text, "%04o", (unsigned)*(const mode_t *)field) >= 0 ? 0 : -ENOMEM;
}

const struct config_kind config_mode = {parse_mode, print_mode, NULL, sizeof(mode_t)};

static int parse_level(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	if (log_level_parse(text, field) == 0)
		return 0;
	SAY(why, "\"%.80s\" is no level; error, warning, info or debug", text);
	return -EINVAL;
}

static int print_level(const void *field, char **ret_text)
{
	*ret_text = strdup(log_level_name(*(const enum log_level *)field));
	return *ret_text != NULL ? 0 : -ENOMEM;
}

const struct config_kind config_level = {parse_level, print_level, NULL, sizeof(enum log_level)};

static bool is_in_list(const char *list, const char *word)
{
	const size_t length = strlen(word);
	while (*list != '\0') {
		const size_t item = strcspn(list, ", ");
		if (item == length && strncmp(list, word, length) == 0)
			return length > 0;
		list += item;
		list += strspn(list, ", ");
	}
	return false;
}

static int parse_driver(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	if (is_in_list(env->drivers, text))
		return take_string(text, field, why);
	SAY(why, "there is no driver \"%.80s\" in this program; one of %s", text, env->drivers);
	return -EINVAL;
}

const struct config_kind config_driver = {parse_driver, print_string, clear_string, sizeof(char *)};

// Empty: not set.
static int parse_schema(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	if (*text == '\0')
		return 0;
	bool valid = strlen(text) <= SCHEMA_BYTES && !isdigit((unsigned char)*text);
	for (const char *c = text; *c != '\0'; c++)
		valid = valid && (isalnum((unsigned char)*c) || *c == '_');
	if (valid)
		return take_string(text, field, why);
	SAY(why, "\"%.80s\" is no name of a schema; 1 to %d letters, digits and _, not a digit first", text,
		SCHEMA_BYTES);
	return -EINVAL;
}

const struct config_kind config_schema = {parse_schema, print_string, clear_string, sizeof(char *)};

// ---- where to listen ----

static bool is_port(const char *text)
{
	const size_t digits = strspn(text, "0123456789");
	const long port = digits > 0 && digits <= PORT_DIGITS && text[digits] == '\0' ? strtol(text, NULL, 10) : 0;
	return port > 0 && port <= UINT16_MAX;
}

// An address of IPv6 has colons of its own, and stands in brackets.
static bool is_host_and_port(const char *text)
{
	const char *colon = strrchr(text, ':');
	if (colon == NULL || !is_port(colon + 1))
		return false;
	const size_t size = (size_t)(colon - text);
	const bool bracketed = text[0] == '[' && size > 2 && colon[-1] == ']';
	return size > 0 && size < HOST_BYTES && (bracketed || strcspn(text, ":[] \t") == size);
}

static int parse_listen(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	char **listen = field;
	if (*text != '/' && *text != '$') {
		if (is_host_and_port(text))
			return take_string(text, listen, why);
		SAY(why,
			"\"%.80s\" is no place to listen; HOST:PORT with a port from 1 to 65535, [ADDRESS]:PORT for "
			"IPv6, "
			"or the absolute path of a Unix socket",
			text);
		return -EINVAL;
	}
	const int result = parse_path(text, env, field, why);
	if (result < 0 || strlen(*listen) < SOCKET_PATH_BYTES)
		return result;
	SAY(why, "too long for the path of a socket; at most %zu bytes", SOCKET_PATH_BYTES - 1);
	clear_string(listen);
	return -EINVAL;
}

const struct config_kind config_listen = {parse_listen, print_string, clear_string, sizeof(char *)};

// ---- any other text ----

static int parse_text(const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	if (*text != '\0')
		return take_string(text, field, why);
	SAY(why, "is empty; leave it out where it is not needed");
	return -EINVAL;
}

const struct config_kind config_text = {parse_text, print_string, clear_string, sizeof(char *)};

// ---- duration ----

static const struct {
	const char *name;
	int64_t ns;
} units[] = {
	{"d", 24 * 3600 * NS_PER_S},
	{"h", 3600 * NS_PER_S},
	{"m", 60 * NS_PER_S},
	{"s", NS_PER_S},
	{"ms", NS_PER_MS},
};

int config_parse_duration(const char *text, int64_t *ret_ns, char why[static CONFIG_WHY_BYTES])
{
	const size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;
	if (digits == strlen(text) && digits > 0) {
		SAY(why, "%.20s has no unit; write %.20ss, or with ms, m, h or d", text, text);
		return -EINVAL;
	}
	for (size_t i = 0; i < COUNT_OF(units) && digits > 0 && digits <= DURATION_DIGITS; i++) {
		if (strcmp(unit, units[i].name) != 0)
			continue;
		if (__builtin_mul_overflow(strtoll(text, NULL, 10), units[i].ns, ret_ns))
			*ret_ns = INT64_MAX; // beyond every range
		return 0;
	}
	SAY(why, "\"%.80s\" is no duration; a whole number and ms, s, m, h or d, such as 2s", text);
	return -EINVAL;
}

void config_format_duration(int64_t ns, char ret_text[static CONFIG_DURATION_SIZE])
{
	size_t i = 0;
	if (ns == 0) {
		snprintf(ret_text, CONFIG_DURATION_SIZE, "0s");
		return;
	}
	while (i < COUNT_OF(units) - 1 && ns % units[i].ns != 0)
		i++;
	snprintf(ret_text, CONFIG_DURATION_SIZE, "%" PRId64 "%s", ns / units[i].ns, units[i].name);
}

static int parse_duration(
	const char *text, const struct config_env *env, void *field, char why[static CONFIG_WHY_BYTES])
{
	(void)env;
	return config_parse_duration(text, field, why);
}

static int print_duration(const void *field, char **ret_text)
{
	char text[CONFIG_DURATION_SIZE];
	config_format_duration(*(const int64_t *)field, text);
	*ret_text = strdup(text);
	return *ret_text != NULL ? 0 : -ENOMEM;
}

const struct config_kind config_duration = {parse_duration, print_duration, NULL, sizeof(int64_t)};

// ---- ranges ----

bool config_in_range(const struct config_kind *kind, const void *field, int64_t low, int64_t high,
	char ret_limits[static CONFIG_WHY_BYTES])
{
	char first[CONFIG_DURATION_SIZE], last[CONFIG_DURATION_SIZE];
	const bool limited = kind == &config_duration || kind == &config_count || kind == &config_number;
	if (!limited)
		return true;
	const int64_t value = kind == &config_number ? *(const int32_t *)field : *(const int64_t *)field;
	if (value >= low && value <= high)
		return true;
	config_format_duration(low, first);
	config_format_duration(high, last);
	if (kind == &config_duration)
		SAY(ret_limits, "%s to %s", first, last);
	else
		SAY(ret_limits, "%" PRId64 " to %" PRId64, low, high);
	return false;
}
