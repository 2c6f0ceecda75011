// SPDX-License-Identifier: Apache-2.0
// sim: runs worlds by seed, replays one with a trace, or takes rules away and sees that it matters.
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

#define HOUR_NS (3600 * NS_PER_S)
#define MUTANT_HOURS 3000
#define TAIL_LINES 120

enum rule rule_removed = RULE_NONE;

static const char *const rule_names[RULE_COUNT] = {
	[RULE_NONE] = "none",
	[RULE_COUNT_FROM_SEND] = "count-from-send",
	[RULE_OBSERVE_A_LEASE] = "observe-a-lease",
	[RULE_DOUBT_NEW_INCARNATION] = "doubt-new-incarnation",
	[RULE_KILL_BY_SWAP] = "kill-by-swap",
	[RULE_TERMS_SURVIVE] = "terms-survive",
	[RULE_TERMS_REMEMBERED] = "terms-remembered",
	[RULE_TERMS_COME_BACK] = "terms-come-back",
	[RULE_MARGIN] = "margin",
	[RULE_NEVER_ADOPT] = "never-adopt",
	[RULE_EXPIRED_IS_LOST] = "expired-is-lost",
	[RULE_VERIFY_INCARNATION] = "verify-incarnation",
	[RULE_FORGET_OBSERVATIONS] = "forget-observations",
	[RULE_RELEASE_AFTER_STOP] = "release-after-stop",
	[RULE_FROZEN_DEADLINE] = "frozen-deadline",
	[RULE_GRANT_ONCE] = "grant-once",
	[RULE_REVOKE_IN_TIME] = "revoke-in-time",
	[RULE_STOP_BEFORE_NEXT] = "stop-before-next",
	[RULE_RESUMED_WAITS] = "resumed-waits",
	[RULE_EXACT_RELEASE] = "exact-release",
	[RULE_CLOSE_SESSION_LAST] = "close-session-last",
	[RULE_UNREAD_IS_NOT_LATE] = "unread-is-not-late",
	[RULE_PAUSE_HOLDS] = "pause-holds",
	[RULE_TARGET_FIRST] = "target-first",
	[RULE_GROUP_WHOLE] = "group-whole",
	[RULE_GROUP_FALLS] = "group-falls",
	[RULE_START_IN_ORDER] = "start-in-order",
	[RULE_STOP_IN_ORDER] = "stop-in-order",
	[RULE_BETTER_LASTS] = "better-lasts",
};

// Large, and the same for every run of a process.
static struct sim world;

struct options {
	uint64_t seed;
	uint64_t runs; // 0: by hours
	uint64_t hours;
	uint32_t jobs;
	const char *mutant;
	bool trace;
	bool faults;
	bool check;
};

// ---- what the world says ----

void trace_line(struct sim *sim, const char *who, uint32_t index, const char *format, ...)
{
	char *line = sim->trace.lines[sim->trace.count++ % TRACE_LINES];
	int64_t us = sim->now / NS_PER_US;
	int at = snprintf(line, TRACE_WIDTH, "%6lld.%06lld %-6s %-2u ", (long long)(us / MILLION),
		(long long)(us % MILLION), who, index);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(line + at, (size_t)(TRACE_WIDTH - at), format, arguments);
	va_end(arguments);
	if (sim->trace.to_output)
		puts(line);
}

void violate(struct sim *sim, const char *invariant, const char *format, ...)
{
	snprintf(sim->violation.invariant, sizeof sim->violation.invariant, "%s", invariant);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(sim->violation.text, sizeof sim->violation.text, format, arguments);
	va_end(arguments);
	TRACE(sim, "judge", 0, "VIOLATION of %s: %s", sim->violation.invariant, sim->violation.text);
	longjmp(sim->out, 1);
}

// An assertion of the core that fails is a violation like any other: it has a seed and a trace.
_Noreturn void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
	violate(&world, "assert", "%s:%u: %s: %s", file, line, function, assertion);
}

// ---- reports ----

static double hours_of(const struct stats *stats)
{
	return (double)stats->simulated_ns / (double)HOUR_NS;
}

static void print_tail(const struct sim *sim)
{
	uint64_t lines = sim->trace.count < TAIL_LINES ? sim->trace.count : TAIL_LINES;
	for (uint64_t i = sim->trace.count - lines; i < sim->trace.count; i++)
		puts(sim->trace.lines[i % TRACE_LINES]);
}

static void print_replay(uint64_t seed)
{
	printf("replay: sim --seed %llu --runs 1 --trace", (unsigned long long)seed);
	if (rule_removed != RULE_NONE)
		printf(" --mutant %s", rule_names[rule_removed]);
	printf("\n");
}

// The same run once more, with a trace.
static void report_violation(uint64_t seed)
{
	world.trace.on = true;
	if (world_run(&world, seed))
		printf("seed %llu: not repeatable: the second run found nothing\n", (unsigned long long)seed);
	print_tail(&world);
	world.trace.on = false;
	printf("\nseed %llu violates %s: %s\n", (unsigned long long)seed, world.violation.invariant,
		world.violation.text);
	profile_print(&world);
	print_replay(seed);
	fflush(stdout);
}

static void print_stats(const struct stats *stats, double seconds)
{
	printf("%.0f simulated hours in %.1f s (%.0f a second), %llu runs, %llu events\n", hours_of(stats), seconds,
		hours_of(stats) / seconds, (unsigned long long)stats->runs, (unsigned long long)stats->events);
	printf("%llu elections, %llu revocations, %llu extensions, %llu exchanges\n", (unsigned long long)stats->grants,
		(unsigned long long)stats->revocations, (unsigned long long)stats->extensions,
		(unsigned long long)stats->exchanges);
	printf("%llu restarts of the database, %llu fail-overs, %llu of them to a stale replica\n",
		(unsigned long long)stats->restarts, (unsigned long long)stats->failovers,
		(unsigned long long)stats->stale_failovers);
	printf("%llu daemons resumed with %llu terms, %llu calms, %llu hand-overs timed\n",
		(unsigned long long)stats->resumes, (unsigned long long)stats->resumed_terms,
		(unsigned long long)stats->calms, (unsigned long long)stats->hurries);
}

static void print_faults(const struct stats *stats)
{
	for (enum fault f = 0; f < FAULTS; f++)
		printf("%12llu %s\n", (unsigned long long)stats->faults[f], fault_name(f));
}

static void add_stats(struct stats *sum, const struct stats *stats)
{
	for (size_t i = 0; i < COUNT_OF(sum->counters); i++)
		sum->counters[i] += stats->counters[i];
}

static double seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// ---- searching ----

static bool is_done(const struct options *options, uint64_t run)
{
	if (options->runs != 0)
		return run >= options->runs;
	return hours_of(&world.stats) * options->jobs >= (double)options->hours;
}

static void show_progress(const struct options *options, uint32_t job)
{
	static double shown;
	double now = seconds_now();
	if (job != 0 || !isatty(STDERR_FILENO) || now < shown + 0.5)
		return;
	shown = now;
	fprintf(stderr, "\r%.0f hours, %.0f elections ", hours_of(&world.stats) * options->jobs,
		(double)world.stats.grants * options->jobs);
}

// Every job takes each jobs-th seed. Returns the seed that fails, or -1.
static int64_t search(const struct options *options, uint32_t job)
{
	for (uint64_t run = job; !is_done(options, run); run += options->jobs) {
		if (!world_run(&world, options->seed + run))
			return (int64_t)(options->seed + run);
		show_progress(options, job);
	}
	return -1;
}

static int run_job(const struct options *options, uint32_t job, int out)
{
	int64_t failed = search(options, job);
	struct stats stats = world.stats;
	if (write(out, &stats, sizeof stats) != sizeof stats)
		return 2;
	if (failed < 0)
		return 0;
	report_violation((uint64_t)failed);
	return 1;
}

static int run_worlds(const struct options *options)
{
	double start = seconds_now();
	int pipes[2];
	if (pipe(pipes) < 0)
		return 2;
	fflush(stdout);
	for (uint32_t job = 0; job < options->jobs; job++) {
		pid_t child = fork();
		if (child < 0)
			return 2;
		if (child == 0)
			exit(run_job(options, job, pipes[1]));
	}
	int status = 0;
	struct stats sum = {0}, stats;
	for (uint32_t job = 0; job < options->jobs; job++) {
		int child_status = 0;
		wait(&child_status);
		if (child_status != 0)
			status = 1;
		if (!WIFEXITED(child_status))
			printf("a job ended by signal %d\n", WTERMSIG(child_status));
		else if (read(pipes[0], &stats, sizeof stats) == sizeof stats)
			add_stats(&sum, &stats);
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	print_stats(&sum, seconds_now() - start);
	if (options->faults)
		print_faults(&sum);
	return status;
}

static int replay(const struct options *options)
{
	world.trace.on = true;
	world.trace.to_output = true;
	int status = 0;
	for (uint64_t run = 0; run < options->runs; run++) {
		bool held = world_run(&world, options->seed + run);
		profile_print(&world);
		if (!held)
			printf("seed %llu violates %s: %s\n", (unsigned long long)world.seed, world.violation.invariant,
				world.violation.text);
		status |= !held;
	}
	return status;
}

// ---- mutants ----

static bool kill_mutant(const struct options *options, enum rule rule)
{
	rule_removed = rule;
	world.stats = (struct stats){0};
	int64_t seed = search(options, 0);
	rule_removed = RULE_NONE;
	if (seed < 0) {
		printf("%-24s SURVIVED %.0f simulated hours\n", rule_names[rule], hours_of(&world.stats));
		return false;
	}
	printf("%-24s caught after %7.1f simulated hours, seed %llu: %s: %s\n", rule_names[rule],
		hours_of(&world.stats), (unsigned long long)seed, world.violation.invariant, world.violation.text);
	fflush(stdout);
	return true;
}

struct count {
	uint32_t passed, failed;
};

static struct count run_mutants(const struct options *options, const char *name)
{
	struct count count = {0};
	struct options each = *options;
	each.jobs = 1;
	for (enum rule rule = RULE_NONE + 1; rule < RULE_COUNT; rule++) {
		if (strcmp(name, "all") != 0 && strcmp(name, rule_names[rule]) != 0)
			continue;
		if (kill_mutant(&each, rule))
			count.passed++;
		else
			count.failed++;
	}
	return count;
}

static int print_count(struct count count)
{
	printf("%u passed, %u failed\n", count.passed, count.failed);
	return count.failed != 0;
}

static int run_mutants_only(struct options *options)
{
	if (options->runs == 0 && options->hours == 0)
		options->hours = MUTANT_HOURS;
	struct count count = run_mutants(options, options->mutant);
	if (count.passed + count.failed == 0) {
		fprintf(stderr, "sim: no rule is called %s\n", options->mutant);
		return 2;
	}
	return print_count(count);
}

// No violation, and every rule is missed where it is taken away.
static int run_check(struct options *options)
{
	bool held = run_worlds(options) == 0;
	options->runs = 0;
	options->hours = MUTANT_HOURS;
	struct count count = run_mutants(options, "all");
	if (held)
		count.passed++;
	else
		count.failed++;
	return print_count(count);
}

static int replay_mutant(const struct options *options)
{
	for (enum rule rule = RULE_NONE + 1; rule < RULE_COUNT; rule++)
		if (strcmp(options->mutant, rule_names[rule]) == 0)
			rule_removed = rule;
	return replay(options);
}

// ---- options ----

static _Noreturn void usage(void)
{
	fputs("usage: sim [--check] [--seed N] [--runs N | --hours N] [--jobs N] [--faults]\n"
	      "       sim --seed N [--runs N] --trace [--mutant RULE]\n"
	      "       sim --mutant RULE|all [--seed N] [--hours N]\n",
		stderr);
	exit(2);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);
	if (*text == '\0' || *end != '\0')
		usage();
	return value;
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option longs[] = {
		{"seed", required_argument, NULL, 's'},
		{"runs", required_argument, NULL, 'r'},
		{"hours", required_argument, NULL, 'h'},
		{"jobs", required_argument, NULL, 'j'},
		{"mutant", required_argument, NULL, 'm'},
		{"trace", no_argument, NULL, 't'},
		{"faults", no_argument, NULL, 'f'},
		{"check", no_argument, NULL, 'c'},
		{NULL, 0, NULL, 0},
	};
	for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
		switch (c) {
		case 's':
			options->seed = number(optarg);
			break;
		case 'r':
			options->runs = number(optarg);
			break;
		case 'h':
			options->hours = number(optarg);
			break;
		case 'j':
			options->jobs = (uint32_t)number(optarg);
			break;
		case 'm':
			options->mutant = optarg;
			break;
		case 't':
			options->trace = true;
			break;
		case 'f':
			options->faults = true;
			break;
		case 'c':
			options->check = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc || options->jobs == 0)
		usage();
}

int main(int argc, char **argv)
{
	struct options options = {.seed = 1, .jobs = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)};
	parse(argc, argv, &options);
	if (options.trace) {
		options.runs = options.runs ? options.runs : 1;
		return options.mutant ? replay_mutant(&options) : replay(&options);
	}
	if (options.mutant)
		return run_mutants_only(&options);
	if (options.runs == 0 && options.hours == 0)
		options.hours = 500;
	return options.check ? run_check(&options) : run_worlds(&options);
}
