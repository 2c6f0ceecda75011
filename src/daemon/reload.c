// SPDX-License-Identifier: Apache-2.0
#include "reload.h"

#include "config_option.h"

#include <errno.h>
#include <stdlib.h>

// ---- what takes a restart ----

static bool takes_restart(const struct config_option *option)
{
	bool now = option->kind == &config_level || option->offset == offsetof(struct config, admin_group);
	return option->scope != CONFIG_COMPONENT && !now;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_value(const struct config_option *option, const struct config *a, const struct config *b)
{
	const void *in_a = (const char *)a + option->offset, *in_b = (const char *)b + option->offset;
	// Of [tenure], [store] and [http] only texts own anything.
	if (option->kind->clear)
		return same_text(*(char *const *)in_a, *(char *const *)in_b);
	return memcmp(in_a, in_b, option->kind->size) == 0;
}

static void add_restart(struct reload_report *report, const char *component, const char *key)
{
	size_t used = strlen(report->restart);
	snprintf(report->restart + used, sizeof report->restart - used, "%s%s%s%s", used > 0 ? "," : "",
		component ? component : "", component ? "." : "", key);
}

static void find_restarts(const struct config *current, const struct config *next, struct reload_report *report)
{
	for (size_t i = 0; i < config_option_count(); i++) {
		const struct config_option *option = config_option_at(i);
		if (takes_restart(option) && !same_value(option, current, next))
			add_restart(report, NULL, option->key);
	}
	bool same_file = same_text(current->store.password_file, next->store.password_file);
	if (same_file && !same_text(current->store.password, next->store.password))
		add_restart(report, NULL, "password_file");
}

static void swap(void *a, void *b, size_t size)
{
	char bytes[sizeof(int64_t)];
	memcpy(bytes, a, size);
	memcpy(a, b, size);
	memcpy(b, bytes, size);
}

void reload_keep(struct config *current, struct config *next)
{
	for (size_t i = 0; i < config_option_count(); i++) {
		const struct config_option *option = config_option_at(i);
		if (takes_restart(option))
			swap((char *)current + option->offset, (char *)next + option->offset, option->kind->size);
	}
	swap(&current->store.password, &next->store.password, sizeof(char *));
	swap(&current->socket_gid, &next->socket_gid, sizeof(gid_t));
}

// ---- components ----

static int compare(const void *a, const void *b)
{
	const struct config_component *const *one = a, *const *other = b;
	return strcmp((*one)->name, (*other)->name);
}

// The components by name, for find(); NULL where memory ran out.
static struct config_component **sort(const struct config *config)
{
	struct config_component **sorted = malloc((config->component_count + 1) * sizeof *sorted);
	if (!sorted)
		return NULL;
	for (size_t i = 0; i < config->component_count; i++)
		sorted[i] = &config->components[i];
	qsort(sorted, config->component_count, sizeof *sorted, compare);
	return sorted;
}

static struct config_component *find(struct config_component *const *sorted, size_t count, const char *name)
{
	const struct config_component wanted = {.name = (char *)name};
	const struct config_component *key = &wanted;
	struct config_component *const *found = bsearch(&key, sorted, count, sizeof *sorted, compare);
	return found ? *found : NULL;
}

static bool same_ids(const struct config_ids *a, const struct config_ids *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (a->items[i].id != b->items[i].id)
			return false;
	return true;
}

static bool same_component(const struct config_component *a, const struct config_component *b)
{
	return config_same_timing(a, b) && same_ids(&a->users, &b->users) && same_ids(&a->groups, &b->groups);
}

// The file was checked against its own [store], and the one that is in effect may be another.
static void fit_grace(const struct config_store *store, const struct config_component *before,
	struct config_component *component, struct reload_report *report)
{
	int64_t longest = config_grace_longest(store);
	if (component->stop_grace_ns <= longest)
		return;
	add_restart(report, component->name, "stop_grace");
	component->stop_grace_ns = before ? before->stop_grace_ns : longest;
}

static void count_component(
	const struct config_component *before, const struct config_component *after, struct reload_report *report)
{
	if (!before || before->removed)
		report->added++;
	else if (!same_component(before, after))
		report->changed++;
}

// A lease is one for as long as the daemon runs: a component goes to another group at a restart. False: no memory.
static bool keep_group(const struct config_component *before, const struct config_component *after,
	struct config_component *merged, struct reload_report *report)
{
	if (after && !same_text(before->group, after->group))
		add_restart(report, before->name, "group");
	merged->group = before->group ? strdup(before->group) : NULL;
	return !before->group || merged->group;
}

// The names of leases stay theirs, also where what had them was removed.
static bool is_taken(const struct config *config, const struct config_component *component)
{
	for (size_t i = 0; i < config->component_count; i++) {
		const struct config_component *other = &config->components[i];
		if (component->group && strcmp(component->group, other->name) == 0)
			return true;
		if (other->group && strcmp(component->name, other->group) == 0)
			return true;
	}
	return false;
}

static bool has_taken(const struct config *current, const struct config *next)
{
	for (size_t i = 0; i < next->component_count; i++)
		if (is_taken(current, &next->components[i]))
			return true;
	return false;
}

// `merged` takes over what it takes from `next`; `sorted` is of `next`.
static int merge(const struct config *current, struct config *next, struct config_component *const *sorted,
	struct config_component *merged, struct reload_report *report)
{
	size_t count = current->component_count;
	for (size_t i = 0; i < count; i++) {
		const struct config_component *before = &current->components[i];
		struct config_component *after = find(sorted, next->component_count, before->name);
		merged[i] = (struct config_component){.name = strdup(before->name), .removed = true};
		if (!merged[i].name || !keep_group(before, after, &merged[i], report))
			return -ENOMEM;
		report->removed += !after && !before->removed;
		if (!after)
			continue;
		fit_grace(&current->store, before->removed ? NULL : before, after, report);
		count_component(before, after, report);
		struct config_component kept = merged[i];
		free(after->group);
		merged[i] = *after;
		merged[i].name = kept.name;
		merged[i].group = kept.group;
		after->group = NULL;
		after->users = (struct config_ids){0};
		after->groups = (struct config_ids){0};
		after->removed = true; // taken
	}
	for (size_t i = 0; i < next->component_count; i++) {
		struct config_component *component = &next->components[i];
		if (component->removed)
			continue;
		fit_grace(&current->store, NULL, component, report);
		count_component(NULL, component, report);
		merged[count++] = *component;
		*component = (struct config_component){.removed = true};
	}
	return 0;
}

static size_t count_new(const struct config *current, const struct config *next, struct config_component **sorted)
{
	size_t known = 0;
	for (size_t i = 0; i < current->component_count; i++)
		known += find(sorted, next->component_count, current->components[i].name) != NULL;
	return next->component_count - known;
}

static void free_components(struct config_component *components, size_t count)
{
	for (size_t i = 0; i < count; i++)
		config_component_done(&components[i]);
	free(components);
}

// As fit_grace(), for those that stop one after the other.
static bool groups_fit(const struct config_store *store, const struct config *next)
{
	for (size_t i = 0; i < next->component_count; i++) {
		const struct config_component *component = &next->components[i];
		if (component->group && !component->removed &&
			config_group_grace(next, component) > config_grace_longest(store))
			return false;
	}
	return true;
}

static int fail(struct reload_report *report, int error, const char *text)
{
	*report = (struct reload_report){0};
	snprintf(report->error, sizeof report->error, "%s", text);
	return error;
}

int reload_merge(const struct config *current, struct config *next, struct reload_report *report)
{
	*report = (struct reload_report){0};
	if (has_taken(current, next))
		return fail(report, -EEXIST,
			"a group has the name that a component had, or the other way round; that takes a restart");
	struct config_component **sorted = sort(next);
	if (!sorted)
		return fail(report, -ENOMEM, "out of memory");
	size_t count = current->component_count + count_new(current, next, sorted);
	if (count > CONFIG_COMPONENTS_MAX) {
		free(sorted);
		return fail(report, -E2BIG, "too many components; those that were removed count until a restart");
	}
	struct config_component *merged = calloc(count ? count : 1, sizeof *merged);
	int error = merged ? merge(current, next, sorted, merged, report) : -ENOMEM;
	free(sorted);
	if (error < 0) {
		free_components(merged, merged ? count : 0);
		return fail(report, error, "out of memory");
	}
	free_components(next->components, next->component_count);
	next->components = merged;
	next->component_count = count;
	if (!groups_fit(&current->store, next))
		return fail(report, -EINVAL,
			"the stop_grace of a group does not fit into the lease that is in effect; that takes a "
			"restart");
	find_restarts(current, next, report);
	return 0;
}
