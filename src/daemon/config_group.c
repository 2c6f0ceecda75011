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

// The names of leases are those of groups and of the components that have none.
void config_check_group(const struct config_load *load, const struct config_section *section)
{
	const struct config_component *component = config_section_fields(load, section);
	const struct config *config = load->config;
	const unsigned line = section->option_lines[config_option_index(config_option_find(CONFIG_COMPONENT, "group"))];
	for (size_t i = 0; component->group != NULL && i < config->component_count; i++)
		if (strcmp(config->components[i].name, component->group) == 0)
			config_report(load, line, section->name, "group",
				"%s is the name of a component; give the group a name of its own", component->group);
}
