// SPDX-License-Identifier: Apache-2.0
// What is counted of the core and of the library: each is a function of its own, for callgrind to look at nothing else.
//
//   count_core NAME TIMES
#include "allocations.h"
#include "clock.h"
#include "handle.h"
#include "tenure.h"
#define NAMES 1000
#include "../unit/election_bench.h"
#include "measured.h"

static struct page_slot slot;
static struct tenure handle;
static unsigned valid;
static unsigned times;

MEASURED static void measured_valid(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		valid += tenure_valid(&handle);
}

START_TEST(count_valid)
{
	atomic_store(&slot.term, 1);
	atomic_store(&slot.deadline, clock_now_ns() + 60 * NS_PER_S); // further away than the test takes
	atomic_store(&handle.term, 1);
	atomic_store(&handle.slot, &slot);
	measured_valid(times);
	ck_assert_uint_eq(valid, times);
}
END_TEST

MEASURED static void measured_step(struct daemon *d, const struct election_event *event)
{
	counting = true;
	election_step(&d->election, event, &d->update);
	counting = false;
}

// A poll begins, and is answered.
static void exchange(struct daemon *d)
{
	measured_step(d, &(struct election_event){.type = ELECTION_TIME, .now = now});
	take_update(d);
	if (!d->out)
		return;
	carry_out(d);
	d->out = false;
	measured_step(d, &(struct election_event){.type = ELECTION_REPLY, .now = now, .reply = &d->reply});
	take_update(d);
}

static void next_poll(struct daemon *d, unsigned polls)
{
	unsigned exchanges = d->exchanges + polls;
	while (d->exchanges < exchanges) {
		now = next_deadline(d, now + POLL);
		exchange(d);
	}
}

// `a` leads all there is; of two, the one whose polls are counted is the only one that lives meanwhile.
static void settle_down(bool other)
{
	tick(&a);
	settle(&a);
	for (uint32_t i = 0; i < NAMES; i++)
		ck_assert_int_eq(say(&a, ELECTION_JOIN, i, 0), ANSWER_OK);
	while (a.out || !leads(&a, NAMES - 1)) {
		settle(&a);
		now += POLL;
		tick(&a);
	}
	for (uint32_t i = 0; i < NAMES; i++)
		ck_assert_int_eq(say(&a, ELECTION_STARTED, i, term_of(&a, i)), ANSWER_OK);
	settle(&a);
	if (!other)
		return;
	tick(&b);
	settle(&b);
	for (uint32_t i = 0; i < NAMES; i++)
		ck_assert_int_eq(say(&b, ELECTION_JOIN, i, 0), ANSWER_OK);
	pass(2 * RENEW);
}

START_TEST(count_leader)
{
	settle_down(false);
	next_poll(&a, times);
	ck_assert(leads(&a, NAMES - 1));
	ck_assert_uint_eq(allocations, 0);
}
END_TEST

START_TEST(count_follower)
{
	settle_down(true);
	next_poll(&b, times);
	ck_assert(!leads(&b, 0));
	ck_assert_uint_eq(allocations, 0);
}
END_TEST

// It concerns one lease, however many there are.
START_TEST(count_word)
{
	settle_down(false);
	for (unsigned i = 0; i < times; i++) {
		measured_step(&a, &(struct election_event){.type = ELECTION_ALIVE,
					  .now = now,
					  .lease = i % NAMES,
					  .term = term_of(&a, i % NAMES)});
		ck_assert_int_eq(a.update.answer, ANSWER_OK);
	}
	ck_assert_uint_eq(allocations, 0);
}
END_TEST

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		const TTest *const *test;
	} counts[] = {{"valid", &count_valid}, {"leader", &count_leader}, {"follower", &count_follower},
		{"word", &count_word}};
	for (size_t i = 0; argc == 3 && i < COUNT_OF(counts); i++)
		if (strcmp(counts[i].name, argv[1]) == 0) {
			times = (unsigned)strtoul(argv[2], NULL, 10);
			return run_suite(argv[1], counts[i].test, 1);
		}
	fputs("usage: count_core valid|leader|follower|word TIMES\n", stderr);
	return EXIT_FAILURE;
}
