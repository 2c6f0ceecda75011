// SPDX-License-Identifier: Apache-2.0
// The status of components as a table for people or as JSON for programs.
#ifndef TENURE_TABLE_H
#define TENURE_TABLE_H

#include "ctl.h"
#include "line.h"

struct table;

int table_new(struct table **ret, enum ctl_format format) MUST_CHECK;
// Takes NULL.
void table_free(struct table *table);
// Adds a `row` line.
int table_add(struct table *table, const struct line *line) MUST_CHECK;
// To standard output.
int table_print(struct table *table) MUST_CHECK;

#endif
