// SPDX-License-Identifier: Apache-2.0
// Reads the configuration file through inih.
//
// inih 55 splits lines at 199 bytes, cuts section names at 49, ends values at " ;", takes an indented line for more of
// the value before, a directory for an empty file, and says nothing of it. So it is given lines that hold none of
// this: a section's number in the place of its name, and keys without their values. The rest of a line is kept here
// and picked up in on_key(), which inih calls for the line that it read last.
#include "config.h"

#include "config_option.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

// Well below inih's 200 and 50.
#define KEY_BYTES 40

#define BLANKS " \t"
#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number
#define COMPONENT_PREFIX "component:"

struct reader {
	struct config_load load;
	FILE *file;
	size_t bytes;
	unsigned line;
	char text[CONFIG_LINE_BYTES + 1];
	const char *value;              // of the key that inih was given last
	const char *wrong;              // with that value; NULL: nothing
	struct config_section *section; // NULL: none yet, or one whose keys are not looked at
	bool any_section;
	size_t component_room;
};

// ---- errors ----

static void append(struct config_errors *errors, const char *format, va_list arguments)
{
	const size_t room = sizeof errors->text - errors->used;
	const int length = vsnprintf(errors->text + errors->used, room, format, arguments);
	if (length > 0)
		errors->used += (size_t)length < room ? (size_t)length : room - 1;
}

PRINTF_LIKE(2, 3) static void append_text(struct config_errors *errors, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	append(errors, format, arguments);
	va_end(arguments);
}

void config_report(
	const struct config_load *load, unsigned line, const char *section, const char *key, const char *format, ...)
{
	struct config_errors *errors = load->errors;
	if (++errors->count > CONFIG_ERRORS_MAX)
		return;
	append_text(errors, "%s:", load->path);
	if (line > 0)
		append_text(errors, "%u:", line);
	if (section != NULL)
		append_text(errors, " [%s]", section);
	if (key != NULL)
		append_text(errors, " %s", key);
	append_text(errors, section != NULL || key != NULL ? ": " : " ");
	va_list arguments;
	va_start(arguments, format);
	append(errors, format, arguments);
	va_end(arguments);
	append_text(errors, "\n");
}

// ---- sections ----

void *config_section_fields(const struct config_load *load, const struct config_section *section)
{
	return section->scope == CONFIG_COMPONENT ? (void *)&load->config->components[section->component]
						  : load->config;
}

static int grow_components(struct reader *reader)
{
	struct config *config = reader->load.config;
	if (config->component_count < reader->component_room)
		return 0;
	const size_t room = reader->component_room > 0 ? 2 * reader->component_room : 16;
	struct config_component *components = realloc(config->components, room * sizeof *components);
	if (components == NULL)
		return -ENOMEM;
	config->components = components;
	reader->component_room = room;
	return 0;
}

static int add_component(struct reader *reader, const char *name, size_t *ret_index)
{
	struct config *config = reader->load.config;
	if (grow_components(reader) < 0)
		return -ENOMEM;
	char *copy = strdup(name);
	if (copy == NULL)
		return -ENOMEM;
	config->components[config->component_count] = (struct config_component){.name = copy};
	*ret_index = config->component_count++;
	return 0;
}

static int parse_scope(const char *name, enum config_scope *ret)
{
	if (strcmp(name, "tenure") == 0)
		*ret = CONFIG_TENURE;
	else if (strcmp(name, "store") == 0)
		*ret = CONFIG_STORE;
	else if (strcmp(name, "http") == 0)
		*ret = CONFIG_HTTP;
	else if (strncmp(name, COMPONENT_PREFIX, strlen(COMPONENT_PREFIX)) == 0)
		*ret = CONFIG_COMPONENT;
	else
		return -EINVAL;
	return 0;
}

static void add_section(struct reader *reader, const char *name, enum config_scope scope)
{
	const struct config_load *load = &reader->load;
	struct config_section *section = calloc(1, sizeof *section);
	size_t component = 0;
	if (section == NULL ||
		(scope == CONFIG_COMPONENT && add_component(reader, name + strlen(COMPONENT_PREFIX), &component) < 0)) {
		free(section);
		config_report(load, reader->line, NULL, NULL, "out of memory");
		return;
	}
	snprintf(section->name, sizeof section->name, "%s", name);
	section->scope = scope;
	section->component = component;
	section->line = reader->line;
	HASH_ADD_STR(reader->load.sections, name, section);
	reader->section = section;
}

static void enter_section(struct reader *reader, const char *name)
{
	const struct config_load *load = &reader->load;
	enum config_scope scope;
	reader->any_section = true;
	reader->section = NULL;
	if (parse_scope(name, &scope) < 0) {
		config_report(load, reader->line, NULL, NULL,
			"unknown section [%.80s]; allowed are [tenure], [store], [http] and [component:NAME]", name);
		return;
	}
	if (scope == CONFIG_COMPONENT && !name_is_valid(name + strlen(COMPONENT_PREFIX))) {
		config_report(load, reader->line, NULL, NULL,
			"[%.80s] is no name of a component; 1 to %d letters, digits and . _ - :", name, NAME_BYTES);
		return;
	}
	const struct config_section *first;
	HASH_FIND_STR(load->sections, name, first);
	if (first != NULL) {
		config_report(load, reader->line, name, NULL,
			"is here a second time, the first is at line %u; put their keys together", first->line);
		return;
	}
	if (scope == CONFIG_COMPONENT && load->config->component_count == CONFIG_COMPONENTS_MAX) {
		config_report(load, reader->line, name, NULL, "is one too many; at most %d components",
			CONFIG_COMPONENTS_MAX);
		return;
	}
	add_section(reader, name, scope);
}

// ---- keys ----

static void check_range(const struct config_load *load, unsigned line, const struct config_section *section,
	const struct config_option *option, const void *field)
{
	char limits[CONFIG_WHY_BYTES];
	if (!config_in_range(option->kind, field, option->low, option->high, limits))
		config_report(load, line, section->name, option->key, "is out of range; %s", limits);
}

static void take_value(struct reader *reader, const struct config_option *option)
{
	const struct config_load *load = &reader->load;
	struct config_section *section = reader->section;
	unsigned *line = &section->option_lines[config_option_index(option)];
	char why[CONFIG_WHY_BYTES] = "out of memory";
	if (*line != 0) {
		config_report(load, reader->line, section->name, option->key,
			"is here a second time, the first is at line %u; leave one of them out", *line);
		return;
	}
	*line = reader->line;
	void *field = config_field(option, config_section_fields(load, section));
	if (reader->wrong != NULL)
		config_report(load, reader->line, section->name, option->key, "%s", reader->wrong);
	else if (option->kind->parse(reader->value, load->env, field, why) < 0)
		config_report(load, reader->line, section->name, option->key, "%s", why);
	else
		check_range(load, reader->line, section, option, field);
}

// inih's handler: 1 is "go on".
static int on_key(void *userdata, const char *section, const char *key, const char *value)
{
	(void)section;
	(void)value;
	struct reader *reader = userdata;
	if (reader->section == NULL) {
		if (!reader->any_section)
			config_report(&reader->load, reader->line, NULL, key,
				"stands before the first section; begin with [tenure] or [store]");
		return 1;
	}
	const struct config_option *option = config_option_find(reader->section->scope, key);
	if (option == NULL) {
		char hint[CONFIG_HINT_BYTES];
		config_option_hint(reader->section->scope, key, hint);
		config_report(&reader->load, reader->line, reader->section->name, key, "unknown key; %s", hint);
		return 1;
	}
	take_value(reader, option);
	return 1;
}

// ---- values ----

static void trim_end(char *text)
{
	size_t length = strlen(text);
	while (length > 0 && strchr(BLANKS, text[length - 1]) != NULL)
		length--;
	text[length] = '\0';
}

// The " ;" that begins a comment, or NULL.
static char *find_comment(char *text)
{
	for (char *c = strchr(text, ';'); c != NULL; c = strchr(c + 1, ';')) {
		if (c == text || strchr(BLANKS, c[-1]) != NULL)
			return c;
	}
	return NULL;
}

static size_t count(const char *text, const char *end, char wanted)
{
	size_t found = 0;
	for (; text < end; text++)
		found += *text == wanted;
	return found;
}

// A quoted value ends at its second quote; two in a row stand for one. NULL, or what is wrong.
static const char *unquote(char *text)
{
	char *to = text;
	const char *from = text + 1;
	for (; *from != '\0' && (*from != '"' || from[1] == '"'); from++) {
		if (*from == '"')
			from++;
		*to++ = *from;
	}
	if (*from != '"')
		return "a double quote without its second; in a quoted value write \"\" for \"";
	const char *rest = from + 1 + strspn(from + 1, BLANKS);
	if (*rest != '\0' && *rest != ';')
		return "something after the closing double quote; only a comment may be there";
	*to = '\0';
	return NULL;
}

static const char *cut_comment(char *text)
{
	char *comment = find_comment(text);
	if (comment == NULL)
		return NULL;
	const bool escaped = comment >= text + 2 && comment[-2] == '\\';
	if (escaped || count(text, comment, '"') % 2 != 0 || count(text, comment, '\'') % 2 != 0)
		return "could end at the \" ;\" or go on; put the whole value in double quotes";
	*comment = '\0';
	return NULL;
}

// Takes `text` for a value, in its place. NULL, or what is wrong with it.
static const char *read_value(char *text, const char **ret)
{
	text += strspn(text, BLANKS);
	const bool quoted = *text == '"';
	const char *wrong = quoted ? unquote(text) : cut_comment(text);
	if (wrong != NULL)
		return wrong;
	if (!quoted)
		trim_end(text);
	*ret = text;
	return NULL;
}

// ---- lines ----

static void report_line(const struct reader *reader, const char *wrong)
{
	config_report(
		&reader->load, reader->line, reader->section != NULL ? reader->section->name : NULL, NULL, "%s", wrong);
}

// Writes for inih what is left of a section's header.
static void read_header(struct reader *reader, char *ret, size_t size)
{
	char *name = reader->text + 1;
	char *end = strchr(name, ']');
	const char *rest = end != NULL ? end + 1 + strspn(end + 1, BLANKS) : NULL;
	if (rest == NULL || (*rest != '\0' && *rest != ';')) {
		reader->section = NULL;
		reader->any_section = true;
		report_line(reader,
			"a section's line that does not end with ]; [tenure], [store], [http] or [component:NAME]");
		return;
	}
	*end = '\0';
	enter_section(reader, name);
	snprintf(ret, size, "[%u]\n", reader->line);
}

static void read_key(struct reader *reader, char *ret, size_t size)
{
	char *equals = strchr(reader->text, '=');
	if (equals == NULL) {
		report_line(reader, "neither a [section] nor key = value");
		return;
	}
	*equals = '\0';
	trim_end(reader->text);
	const char *key = reader->text;
	if (*key == '\0' || strlen(key) > KEY_BYTES || strpbrk(key, BLANKS ":;") != NULL) {
		report_line(reader, "what stands before \"=\" is no key; one word of letters and _");
		return;
	}
	reader->wrong = read_value(equals + 1, &reader->value);
	snprintf(ret, size, "%s=\n", key);
}

// Takes the next line without its end. Where it cannot be taken as it is, says so and leaves it empty.
static bool next_line(struct reader *reader)
{
	size_t length = 0;
	const char *wrong = NULL;
	int c;
	reader->line++;
	while ((c = getc_unlocked(reader->file)) != EOF && c != '\n') {
		if (++reader->bytes > CONFIG_FILE_BYTES) {
			report_line(reader, "the file is too long; at most " TEXT_OF(CONFIG_FILE_BYTES) " bytes");
			return false;
		}
		if (c == '\0')
			wrong = "a NUL byte; text only";
		if (length < CONFIG_LINE_BYTES)
			reader->text[length++] = (char)c;
		else if (wrong == NULL)
			wrong = "the line is too long; at most " TEXT_OF(CONFIG_LINE_BYTES) " bytes";
	}
	if (c == EOF && length == 0)
		return false;
	if (wrong != NULL) {
		report_line(reader, wrong);
		length = 0;
	}
	reader->text[length] = '\0';
	return true;
}

// Ends of lines and marks of other systems are let pass.
static void strip(struct reader *reader)
{
	static const char mark[] = "\xef\xbb\xbf";
	char *text = reader->text;
	size_t length = strlen(text);
	if (length > 0 && text[length - 1] == '\r')
		text[--length] = '\0';
	if (reader->line == 1 && strncmp(text, mark, strlen(mark)) == 0)
		memmove(text, text + strlen(mark), length - strlen(mark) + 1);
}

static bool has_controls(const char *text)
{
	for (; *text != '\0'; text++) {
		if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
			return true;
	}
	return false;
}

// inih's reader, like fgets().
static char *read_line(char *buffer, int size, void *stream)
{
	struct reader *reader = stream;
	if (!next_line(reader))
		return NULL;
	strip(reader);
	snprintf(buffer, (size_t)size, "\n");
	const char *start = reader->text + strspn(reader->text, BLANKS);
	if (*start == '\0' || *start == ';' || *start == '#')
		return buffer;
	if (has_controls(start))
		report_line(reader, "a control character; text only");
	else if (start != reader->text)
		report_line(reader, "begins with a blank; a value does not go on over lines, take the blanks away");
	else if (*start == '[')
		read_header(reader, buffer, (size_t)size);
	else
		read_key(reader, buffer, (size_t)size);
	return buffer;
}

// ---- files ----

static int open_file(const char *path, FILE **ret, mode_t *ret_mode)
{
	struct stat status;
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	int result = fstat(fd, &status) != 0 ? -errno : 0;
	if (result == 0 && S_ISDIR(status.st_mode))
		result = -EISDIR;
	FILE *file = result == 0 ? fdopen(fd, "r") : NULL;
	if (file == NULL) {
		result = result < 0 ? result : -errno;
		close(fd);
		return result;
	}
	*ret = file;
	*ret_mode = status.st_mode;
	return 0;
}

static int read_file(struct reader *reader)
{
	const int result = open_file(reader->load.path, &reader->file, &reader->load.mode);
	if (result < 0)
		return result;
	const int line = ini_parse_stream(read_line, reader, on_key, reader);
	const bool failed = ferror(reader->file) != 0;
	fclose(reader->file);
	if (failed)
		return -EIO;
	if (line != 0)
		config_report(&reader->load, line > 0 ? (unsigned)line : 0, NULL, NULL, "cannot be understood");
	return 0;
}

static void free_sections(struct config_load *load)
{
	struct config_section *section = load->sections;
	HASH_CLEAR(hh, load->sections);
	while (section != NULL) {
		struct config_section *next = section->hh.next;
		free(section);
		section = next;
	}
}

int config_load(const char *path, const struct config_env *env, struct config **ret, struct config_errors *errors)
{
	struct config *config = calloc(1, sizeof *config);
	struct reader *reader = calloc(1, sizeof *reader);
	int result = -ENOMEM;
	if (config == NULL || reader == NULL)
		goto out;
	reader->load = (struct config_load){.path = path, .env = env, .config = config, .errors = errors};
	result = read_file(reader);
	if (result < 0)
		config_report(&reader->load, 0, NULL, NULL, "cannot be read: %s", strerror(-result));
	else
		config_complete(&reader->load);
	if (result == 0 && errors->count > 0)
		result = -EINVAL;
	if (errors->count > CONFIG_ERRORS_MAX)
		append_text(errors, "%s: and %u errors more\n", path, errors->count - CONFIG_ERRORS_MAX);
	free_sections(&reader->load);

out:
	if (reader != NULL)
		explicit_bzero(reader->text, sizeof reader->text);
	free(reader);
	if (result < 0) {
		config_free(config);
		return result;
	}
	*ret = config;
	return 0;
}
