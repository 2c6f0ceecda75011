// SPDX-License-Identifier: Apache-2.0
// Prints the core's state tables as a graph for Graphviz: what `make states` draws as src/core/states.svg.
// An event that leaves a state as it is has no arrow.
#include <stdio.h>

#include "lease.h"
#include "seat.h"
#include "session.h"

struct machine {
	const char *name;
	const char *title;
	int states;
	int events;
	const char *(*state_name)(int state);
	const char *(*event_name)(int event);
	int (*next)(int state, int event); // `states` where the event cannot happen
};

static const char *lease_state(int state)
{
	return lease_state_name((enum lease_state)state);
}

static const char *lease_event_text(int event)
{
	return lease_event_name((enum lease_event)event);
}

static int lease_step(int state, int event)
{
	return (int)lease_next((enum lease_state)state, (enum lease_event)event);
}

static const char *seat_state_text(int state)
{
	return seat_state_name((enum seat_state)state);
}

static const char *seat_event_text(int event)
{
	return seat_event_name((enum seat_event)event);
}

static int seat_step(int state, int event)
{
	struct seat_cell cell = seat_cell((enum seat_state)state, (enum seat_event)event);
	return cell.action == SEAT_IMPOSSIBLE ? (int)SEAT_STATES : (int)cell.next;
}

static const char *session_state_text(int state)
{
	return session_state_name((enum session_state)state);
}

static const char *session_event_text(int event)
{
	return session_event_name((enum session_event)event);
}

static int session_step(int state, int event)
{
	return (int)session_next((enum session_state)state, (enum session_event)event);
}

static const struct machine machines[] = {
	{"lease", "a lease of this daemon", LEASE_STATES, LEASE_EVENTS, lease_state, lease_event_text, lease_step},
	{"seat", "the worker's seat", SEAT_STATES, SEAT_EVENTS, seat_state_text, seat_event_text, seat_step},
	{"session", "this daemon's session", SESSION_STATES, SESSION_EVENTS, session_state_text, session_event_text,
		session_step},
};

// One arrow with all the events that lead there.
static void print_arrow(const struct machine *m, int from, int to)
{
	const char *separator = "";
	for (int event = 0; event < m->events; event++) {
		if (m->next(from, event) != to)
			continue;
		if (*separator == '\0')
			printf("\t\t%s_%d -> %s_%d [label=\"", m->name, from, m->name, to);
		printf("%s%s", separator, m->event_name(event));
		separator = "\\n";
	}
	if (*separator != '\0')
		printf("\"]\n");
}

static void print_machine(const struct machine *m)
{
	printf("\tsubgraph cluster_%s {\n\t\tlabel=\"%s\"\n", m->name, m->title);
	for (int state = 0; state < m->states; state++)
		printf("\t\t%s_%d [label=\"%s\"]\n", m->name, state, m->state_name(state));
	for (int from = 0; from < m->states; from++)
		for (int to = 0; to < m->states; to++)
			if (to != from)
				print_arrow(m, from, to);
	printf("\t}\n");
}

int main(void)
{
	printf("digraph states {\n"
	       "\tgraph [bgcolor=white, fontname=\"sans-serif\", color=gray]\n"
	       "\tnode [shape=box, style=rounded, fontname=\"sans-serif\"]\n"
	       "\tedge [fontname=\"sans-serif\", fontsize=10]\n");
	for (size_t i = 0; i < sizeof machines / sizeof *machines; i++)
		print_machine(&machines[i]);
	printf("}\n");
	return fflush(stdout) == 0 ? 0 : 1;
}
