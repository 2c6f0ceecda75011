// SPDX-License-Identifier: Apache-2.0
// A configuration file: it is refused with a reason, or what is printed of it is the same configuration.
#include "fuzz.h"

#include "config.h"

#include <sys/mman.h>
#include <unistd.h>

static const struct config_env env = {
	.drivers = "postgresql, mysql, sqlite, memory",
	.host = "host-a",
	.machine_id = "0123abcd",
};

static struct config *load(const char *text, size_t size, struct config_errors *errors)
{
	char path[64];
	struct config *config = NULL;
	int fd = memfd_create("conf", MFD_CLOEXEC);
	MUST(fd >= 0 && write(fd, text, size) == (ssize_t)size);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	*errors = (struct config_errors){0};
	int result = config_load(path, &env, &config, errors);
	close(fd);
	MUST((result == 0) == (errors->count == 0));
	MUST(errors->used < sizeof errors->text && strlen(errors->text) == errors->used);
	MUST(result < 0 || (config && config->component_count > 0 && name_is_valid(config->node)));
	return config;
}

static char *dump(const struct config *config, size_t *ret_size)
{
	char *text;
	FILE *out = open_memstream(&text, ret_size);
	MUST(out);
	MUST(config_dump(config, out) == 0);
	MUST(fclose(out) == 0);
	return text;
}

static void check_config(const struct config *config)
{
	const struct config_store *store = &config->store;
	MUST(store->lease_ns >= SECOND / 2 && store->lease_ns <= 600 * SECOND);
	for (size_t i = 0; i < config->component_count; i++) {
		const struct config_component *component = &config->components[i];
		MUST(name_is_valid(component->name) && name_is_valid(config_lease_name(config, i)));
		MUST(config_group_head(config, i) <= i);
		// W24
		MUST(store->renew_ns + store->timeout_ns + config_group_grace(config, component) < store->lease_ns);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config_errors errors;
	struct config *config = load((const char *)data, size, &errors);
	if (!config)
		return 0;
	check_config(config);
	size_t first_size, second_size;
	char *first = dump(config, &first_size);
	bool secret = config->store.conninfo != NULL; // it may hold a password, which is left out
	config_free(config);
	struct config *again = load(first, first_size, &errors);
	if (!again && !secret)
		fprintf(stderr, "%s%s", first, errors.text);
	MUST(again || secret);
	if (again) {
		char *second = dump(again, &second_size);
		MUST(first_size == second_size && memcmp(first, second, first_size) == 0);
		free(second);
		config_free(again);
	}
	free(first);
	return 0;
}
