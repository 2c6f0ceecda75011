// SPDX-License-Identifier: Apache-2.0
// Components that share one lease (W19).
#include "config_option.h"

static bool same_group(const struct config_component *a, const struct config_component *b)
{
	return a->group != NULL && b->group != NULL && strcmp(a->group, b->group) == 0;
}

int64_t config_group_grace(const struct config *config, const struct config_component *component)
{
	int64_t sum = 0;
	if (component->group == NULL)
		return component->stop_grace_ns;
	for (size_t i = 0; i < config->component_count; i++)
		if (same_group(&config->components[i], component) && !config->components[i].removed)
			sum += config->components[i].stop_grace_ns;
	return sum;
}

size_t config_group_head(const struct config *config, size_t index)
{
	for (size_t i = 0; config->components[index].group != NULL && i < index; i++)
		if (same_group(&config->components[i], &config->components[index]))
			return i;
	return index;
}

const char *config_lease_name(const struct config *config, size_t index)
{
	const struct config_component *component = &config->components[index];
	bool heads = component->group != NULL && config_group_head(config, index) == index;
	return heads ? component->group : component->name;
}

// In whole milliseconds, so that it can be dumped exactly.
void config_share_grace(const struct config *config, struct config_component *component)
{
	int64_t members = 0;
	if (component->group == NULL)
		return;
	for (size_t i = 0; i < config->component_count; i++)
		members += same_group(&config->components[i], component);
	if (members > 1)
		component->stop_grace_ns = component->stop_grace_ns / members / NS_PER_MS * NS_PER_MS;
}

// ---- who is to lead it ----

static const char *const preferences[] = {"candidate", "priority", "prefer_after"};

static unsigned line_of(const struct config_section *section, const struct config_option *option)
{
	return section->option_lines[config_option_index(option)];
}

// The first component of the group for which the file says it; NULL: it does for none.
static const struct config_section *first_with(
	const struct config_load *load, const struct config_component *component, const struct config_option *option)
{
	for (const struct config_section *section = load->sections; section != NULL; section = section->hh.next) {
		if (section->scope == CONFIG_COMPONENT && line_of(section, option) != 0 &&
			same_group(config_section_fields(load, section), component))
			return section;
	}
	return NULL;
}

void config_share_preference(const struct config_load *load, const struct config_section *section)
{
	struct config_component *component = config_section_fields(load, section);
	for (size_t i = 0; component->group != NULL && i < COUNT_OF(preferences); i++) {
		const struct config_option *option = config_option_find(CONFIG_COMPONENT, preferences[i]);
		const struct config_section *first = first_with(load, component, option);
		if (first == NULL || line_of(section, option) != 0)
			continue;
		memcpy(config_field(option, component), config_field(option, config_section_fields(load, first)),
			option->kind->size);
	}
}

static void check_preference(const struct config_load *load, const struct config_section *section,
	struct config_component *component, const struct config_option *option)
{
	const struct config_section *first = first_with(load, component, option);
	if (first == NULL || line_of(section, option) == 0)
		return;
	const void *theirs = config_field(option, config_section_fields(load, first));
	if (memcmp(config_field(option, component), theirs, option->kind->size) != 0)
		config_report(load, line_of(section, option), section->name, option->key,
			"is another one than at line %u, in the same group %s; one is enough for all of it",
			line_of(first, option), component->group);
}

// ---- what has to hold ----

// The names of leases are those of groups and of the components that have none.
void config_check_group(const struct config_load *load, const struct config_section *section)
{
	struct config_component *component = config_section_fields(load, section);
	const struct config *config = load->config;
	const unsigned line = section->option_lines[config_option_index(config_option_find(CONFIG_COMPONENT, "group"))];
	for (size_t i = 0; component->group != NULL && i < config->component_count; i++)
		if (strcmp(config->components[i].name, component->group) == 0)
			config_report(load, line, section->name, "group",
				"%s is the name of a component; give the group a name of its own", component->group);
	for (size_t i = 0; component->group != NULL && i < COUNT_OF(preferences); i++)
		check_preference(load, section, component, config_option_find(CONFIG_COMPONENT, preferences[i]));
}
