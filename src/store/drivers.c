// SPDX-License-Identifier: Apache-2.0
// Which drivers there are. Those of databases are files of their own, so that a daemon has no client library in memory
// but that of its database; tests have them linked in.
#include "beside.h"
#include "driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>

static const struct {
	const char *name;
	const struct store_driver *linked; // NULL: it is in its file
} drivers[] = {
#ifdef WITH_PGSQL
	{"postgresql", &store_postgresql},
#endif
#ifdef WITH_MYSQL
	{"mysql", &store_mysql},
#endif
#ifdef WITH_SQLITE
	{"sqlite", &store_sqlite},
#endif
	{"memory", &store_memory},
};

static const struct store_driver *load(const char *name)
{
	char symbol[2 * NAME_BYTES];
	snprintf(symbol, sizeof symbol, "store_%s", name);
	return module_load(name, symbol);
}

int store_driver_load(const char *name, const struct store_driver **ret, char ret_text[static EXCHANGE_TEXT_SIZE])
{
	size_t i = 0;
	while (i < COUNT_OF(drivers) && strcmp(drivers[i].name, name) != 0)
		i++;
	if (i == COUNT_OF(drivers)) {
		store_text(ret_text, "there is no such driver");
		return -ENOENT;
	}
	const struct store_driver *driver = drivers[i].linked ? drivers[i].linked : load(name);
	if (!driver) {
		store_text(ret_text, "its driver cannot be loaded: %s", dlerror());
		return -ENOENT;
	}
	if (strcmp(driver->version, TENURE_VERSION) != 0) {
		store_text(
			ret_text, "its driver is of version %s and this program of " TENURE_VERSION, driver->version);
		return -EINVAL;
	}
	*ret = driver;
	return 0;
}

const struct store_driver *store_driver_find(const char *name)
{
	const struct store_driver *driver;
	char text[EXCHANGE_TEXT_SIZE];
	return store_driver_load(name, &driver, text) == 0 ? driver : NULL;
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
