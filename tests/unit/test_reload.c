// SPDX-License-Identifier: Apache-2.0
// S4: components that come, change and go under an election that runs; a configuration that follows another one.
#include "array.h"
#include "config_files.h"
#include "election.h"
#include "reload.h"
#include "store.h"
#include "tables.h"

#include <poll.h>
#include <sys/stat.h>

#define LEASE_NS (10 * NS_PER_S)
#define GRACE_NS (2 * NS_PER_S)
#define COUNT 3

// ---- the election, on the store's model of its tables ----

static const struct election_timing timing = {LEASE_NS, 2 * NS_PER_S, NS_PER_S, 2 * NS_PER_S};
static const struct election_lease_timing lease_timing = {
	.stop_grace_ns = GRACE_NS, .start_timeout_ns = 30 * NS_PER_S, .cooldown_ns = 5 * NS_PER_S};
static struct election election;
static struct election_lease *leases;
static struct exchange_release *releases;
static struct exchange_claim *claims;
static struct exchange_offer *offers;
static struct election_note notes[COUNT * ELECTION_NOTES_PER_LEASE + ELECTION_NOTES_MORE];
static struct election_update update;
static struct tables *tables;
static int64_t now;
static enum election_reason revoked_for;
static uint64_t granted;
static bool answers; // the database does

static void make_room(size_t count)
{
	ck_assert_int_eq(array_grow(&leases, count, sizeof *leases), 0);
	ck_assert_int_eq(array_grow(&releases, count, sizeof *releases), 0);
	ck_assert_int_eq(array_grow(&claims, count, sizeof *claims), 0);
	ck_assert_int_eq(array_grow(&offers, count, sizeof *offers), 0);
}

static void set_up(void)
{
	static const struct incarnation server = {.text = "server"};
	struct election_lease_timing timings[] = {lease_timing, lease_timing};
	now = 1000 * NS_PER_S;
	answers = true;
	make_room(2);
	ck_assert_int_eq(tables_new(&tables, 2, 8, &server), 0);
	update = (struct election_update){.notes = notes};
	election_init(&election, &timing, timings, 2, &(struct election_room){leases, releases, claims, offers}, now);
}

static void tear_down(void)
{
	tables_free(tables);
	free(leases);
	free(releases);
	free(claims);
	free(offers);
	leases = NULL;
	releases = NULL;
	claims = NULL;
	offers = NULL;
}

static void look_at_notes(void)
{
	for (size_t i = 0; i < update.note_count; i++) {
		if (notes[i].type == NOTE_REVOKED)
			revoked_for = notes[i].reason;
		if (notes[i].type == NOTE_GRANTED)
			granted = notes[i].term;
	}
}

static void step(struct election_event event)
{
	static uint8_t last;
	if (election_wants_id(&election))
		election_supply_id(&election, &(struct uuid){{++last, 1}});
	event.now = now;
	election_step(&election, &event, &update);
	look_at_notes();
}

// What is out is carried out, and is answered where the database answers.
static bool exchange(void)
{
	static struct exchange_grant grants[COUNT];
	static struct exchange_row rows[COUNT];
	if (!update.submit)
		return false;
	struct exchange_request request = update.request;
	struct exchange_reply reply = {.number = request.number, .connection = 1, .grants = grants, .rows = rows};
	reply.session_alive = tables_session(tables, &request, "a");
	tables_missing(tables, &request);
	tables_change(tables, &request, grants, &reply.grant_count);
	tables_report(tables, &request, rows, &reply);
	reply.outcome = EXCHANGE_OK;
	update.submit = false;
	if (answers)
		step((struct election_event){.type = ELECTION_REPLY, .reply = &reply});
	return answers;
}

static void settle(void)
{
	while (exchange())
		;
}

static void say(enum election_event_type type, uint32_t lease, uint64_t term)
{
	settle();
	step((struct election_event){.type = type, .lease = lease, .term = term, .cooldown_ns = 0});
	settle();
}

static void configure(uint32_t lease, const struct election_lease_timing *with)
{
	step((struct election_event){.type = ELECTION_CONFIGURE, .lease = lease, .timing = with});
}

static void pass(int64_t ns)
{
	int64_t end = now + ns;
	while (election_deadline(&election) <= end) {
		now = election_deadline(&election) > now ? election_deadline(&election) : now;
		step((struct election_event){.type = ELECTION_TIME});
		settle();
	}
	now = end;
}

static void lead(uint32_t lease)
{
	step((struct election_event){.type = ELECTION_TIME});
	settle();
	say(ELECTION_JOIN, lease, 0);
	ck_assert_int_eq(leases[lease].state, LEASE_LEADING);
	revoked_for = REASON_NONE;
	granted = 0;
}

static bool is_free(uint32_t lease)
{
	return uuid_is_none(&tables->leases[lease].session);
}

START_TEST(a_removed_component_is_drained_and_released)
{
	lead(0);
	int64_t deadline = leases[0].token.deadline;
	now += NS_PER_S;
	configure(0, NULL);
	settle();
	ck_assert_int_eq(revoked_for, REASON_REMOVED);
	ck_assert_int_eq(leases[0].state, LEASE_DRAINING);
	pass(3 * NS_PER_S);
	ck_assert_int_eq(leases[0].token.deadline, deadline); // W12
	ck_assert(!is_free(0));
	say(ELECTION_STOPPED, 0, 1);
	ck_assert_int_eq(leases[0].state, LEASE_IDLE);
	ck_assert(is_free(0));
}
END_TEST

START_TEST(it_is_claimed_no_more_until_it_comes_back)
{
	lead(0);
	configure(0, NULL);
	say(ELECTION_STOPPED, 0, 1);
	pass(5 * LEASE_NS);
	ck_assert_int_eq(leases[0].seat, SEAT_READY);
	ck_assert_int_eq(leases[0].state, LEASE_IDLE);
	ck_assert_uint_eq(tables->leases[0].term, 1);
	configure(0, &lease_timing);
	settle();
	pass(NS_PER_S);
	ck_assert_uint_eq(granted, 2);
	ck_assert_int_eq(leases[0].state, LEASE_LEADING);
}
END_TEST

START_TEST(its_worker_goes_and_another_comes)
{
	lead(0);
	configure(0, NULL);
	say(ELECTION_GONE, 0, 0);
	ck_assert(is_free(0));
	say(ELECTION_JOIN, 0, 0);
	pass(LEASE_NS);
	ck_assert_int_eq(leases[0].state, LEASE_IDLE);
	ck_assert_uint_eq(granted, 0);
}
END_TEST

START_TEST(others_go_on)
{
	lead(0);
	lead(1);
	configure(0, NULL);
	say(ELECTION_STOPPED, 0, 1);
	int64_t deadline = leases[1].token.deadline;
	pass(3 * NS_PER_S);
	ck_assert_int_eq(leases[1].state, LEASE_LEADING);
	ck_assert_int_gt(leases[1].token.deadline, deadline);
	ck_assert_uint_eq(granted, 0);
}
END_TEST

START_TEST(a_candidate_is_none_any_more)
{
	say(ELECTION_JOIN, 0, 0);
	configure(0, NULL);
	settle();
	pass(LEASE_NS);
	ck_assert_int_eq(leases[0].state, LEASE_IDLE);
	ck_assert(is_free(0));
}
END_TEST

// The claim is out when the component is removed: what it brings is given back, and nobody is told.
START_TEST(a_claim_that_is_out_comes_to_nothing)
{
	step((struct election_event){.type = ELECTION_TIME});
	settle();
	granted = 0;
	step((struct election_event){.type = ELECTION_JOIN, .lease = 0});
	ck_assert_int_eq(leases[0].state, LEASE_CLAIMING);
	struct election_update sent = update;
	configure(0, NULL);
	update.submit = sent.submit;
	update.request = sent.request;
	now += 10 * NS_PER_MS; // on its way
	settle();
	ck_assert_uint_eq(granted, 0);
	ck_assert_uint_eq(tables->leases[0].term, 1);
	ck_assert(is_free(0));
	ck_assert_int_eq(leases[0].state, LEASE_IDLE);
}
END_TEST

// Its answer never comes (rule 12): the row is found under the session's name, and given back.
START_TEST(an_unanswered_claim_is_given_back)
{
	step((struct election_event){.type = ELECTION_TIME});
	settle();
	answers = false;
	step((struct election_event){.type = ELECTION_JOIN, .lease = 0});
	exchange();
	configure(0, NULL);
	ck_assert(!is_free(0));
	answers = true;
	pass(3 * NS_PER_S);
	ck_assert(is_free(0));
	ck_assert_int_eq(leases[0].state, LEASE_IDLE);
}
END_TEST

START_TEST(a_resumed_term_is_removed)
{
	static const struct uuid session = {{7}};
	struct election_token token = {.term = 4, .deadline = now + 5 * NS_PER_S, .started = true};
	election_resume_session(&election, &session);
	election_resume_term(&election, 0, &token);
	configure(0, NULL);
	ck_assert_int_eq(leases[0].seat, SEAT_AWAY_REVOKED);
	step((struct election_event){.type = ELECTION_JOIN, .lease = 0, .term = 4});
	ck_assert_int_eq(revoked_for, REASON_REMOVED);
}
END_TEST

START_TEST(leases_are_added_while_an_exchange_is_out)
{
	lead(0);
	now += 2 * NS_PER_S;
	step((struct election_event){.type = ELECTION_TIME});
	ck_assert(update.submit); // a renewal, for two names
	struct election_update sent = update;
	make_room(COUNT);
	election_grow(&election, COUNT, &(struct election_room){leases, releases, claims, offers});
	configure(2, &lease_timing);
	update.submit = true;
	update.request = sent.request;
	int64_t deadline = leases[0].token.deadline;
	ck_assert(exchange());
	ck_assert_int_gt(leases[0].token.deadline, deadline);
	ck_assert_int_eq(tables_grow(tables, COUNT), 0);
	settle();
	say(ELECTION_JOIN, 2, 0);
	ck_assert_int_eq(leases[2].state, LEASE_LEADING);
	ck_assert_int_eq(leases[0].state, LEASE_LEADING);
	ck_assert_uint_eq(granted, 1);
}
END_TEST

// W19. Nor does a release that others wait for go before that.
START_TEST(what_others_offer_is_seen_before_what_was_added)
{
	lead(0);
	now += 2 * NS_PER_S;
	step((struct election_event){.type = ELECTION_TIME});
	ck_assert(update.submit);
	struct election_update sent = update;
	make_room(COUNT);
	election_grow(&election, COUNT, &(struct election_room){leases, releases, claims, offers});
	configure(2, &lease_timing);
	step((struct election_event){.type = ELECTION_GONE, .lease = 0});
	update.submit = true;
	update.request = sent.request;
	ck_assert(exchange());
	ck_assert(update.submit);
	ck_assert_uint_eq(update.request.release_count, 1);
	ck_assert(update.request.publish);
	ck_assert(update.request.candidates);
}
END_TEST

START_TEST(an_added_lease_waits_for_its_configuration)
{
	make_room(COUNT);
	election_grow(&election, COUNT, &(struct election_room){leases, releases, claims, offers});
	ck_assert_int_eq(tables_grow(tables, COUNT), 0);
	say(ELECTION_JOIN, 2, 0);
	pass(LEASE_NS);
	ck_assert_int_eq(leases[2].state, LEASE_IDLE);
}
END_TEST

START_TEST(a_longer_grace_counts_at_once)
{
	static const struct election_lease_timing longer = {
		.stop_grace_ns = 6 * NS_PER_S, .start_timeout_ns = 30 * NS_PER_S, .cooldown_ns = 5 * NS_PER_S};
	lead(0);
	answers = false;
	int64_t deadline = leases[0].token.deadline;
	now += NS_PER_S;
	configure(0, &longer);
	pass(deadline - 6 * NS_PER_S - 1 - now);
	ck_assert_int_eq(leases[0].state, LEASE_LEADING);
	pass(1);
	ck_assert_int_eq(leases[0].state, LEASE_DRAINING);
	ck_assert_int_eq(revoked_for, REASON_EXPIRING);
}
END_TEST

START_TEST(the_reason_has_its_name)
{
	ck_assert_str_eq(election_reason_name(REASON_REMOVED), "removed");
}
END_TEST

// ---- the store ----

// The next reply, within five seconds.
static struct exchange_reply *wait_for_reply(struct store *store)
{
	struct exchange_reply *reply;
	struct pollfd fd = {.fd = store_fd(store), .events = POLLIN};
	while (!store_next_reply(store, &reply))
		ck_assert_int_eq(poll(&fd, 1, 5000), 1);
	return reply;
}

static size_t count_rows(struct store *store, uint64_t number)
{
	struct exchange_request request = {.number = number, .report = true};
	ck_assert_int_eq(store_submit(store, &request, INT64_MAX), 0);
	struct exchange_reply *reply = wait_for_reply(store);
	ck_assert_uint_eq(reply->number, number);
	ck_assert_int_eq(reply->outcome, EXCHANGE_OK);
	size_t count = reply->row_count;
	store_reply_free(reply);
	return count;
}

START_TEST(the_store_takes_more_names)
{
	static const char *const names[] = {"one", "two", "three"};
	struct store_config config = {.node = "a", .timeout_ns = NS_PER_S};
	struct store *store;
	ck_assert_int_eq(store_new(&store, store_driver_find("memory"), &config, names, NULL, 1), 0);
	ck_assert_uint_eq(count_rows(store, 1), 1);
	ck_assert_int_eq(store_set_names(store, names, NULL, 2), 0);
	ck_assert_int_eq(store_set_names(store, names, NULL, 3), 0);
	ck_assert_uint_eq(count_rows(store, 2), 3);
	ck_assert_int_eq(store_set_names(store, names, NULL, 3), 0);
	store_free(store);
}
END_TEST

// ---- the configuration ----

#define STORE "[store]\ndriver = memory\n"

static struct reload_report report;

// What the second file comes to for a daemon that runs with the first.
static struct config *follow(struct config *current, const char *text)
{
	struct config *next = load_good(text);
	ck_assert_int_eq(reload_merge(current, next, &report), 0);
	reload_keep(current, next);
	config_free(current);
	return next;
}

static const char *name_at(const struct config *config, size_t i)
{
	return config->components[i].name;
}

START_TEST(components_keep_their_places)
{
	struct config *config = load_good(STORE "[component:b]\n[component:a]\nusers = root\n");
	config = follow(config, STORE "[component:c]\n[component:a]\n");
	ck_assert_uint_eq(config->component_count, 3);
	ck_assert_str_eq(name_at(config, 0), "b");
	ck_assert(config->components[0].removed);
	ck_assert_str_eq(name_at(config, 1), "a");
	ck_assert(!config->components[1].removed);
	ck_assert_uint_eq(config->components[1].users.count, 0);
	ck_assert_str_eq(name_at(config, 2), "c");
	ck_assert_uint_eq(report.added, 1);
	ck_assert_uint_eq(report.removed, 1);
	ck_assert_uint_eq(report.changed, 1);
	ck_assert_str_eq(report.restart, "");
	config = follow(config, STORE "[component:b]\nusers = root\n[component:a]\n");
	ck_assert(!config->components[0].removed);
	ck_assert_uint_eq(config->components[0].users.count, 1);
	ck_assert(config->components[2].removed);
	ck_assert_uint_eq(report.added, 1);
	ck_assert_uint_eq(report.removed, 1);
	ck_assert_uint_eq(report.changed, 0);
	config_free(config);
}
END_TEST

START_TEST(w19_a_component_changes_its_group_at_a_restart)
{
	struct config *config = load_good(STORE "[component:a]\ngroup = g\n[component:b]\ngroup = g\n[component:c]\n");
	config =
		follow(config, STORE "[component:a]\nstop_grace = 100ms\n[component:b]\nstop_grace = 100ms\ngroup = h\n"
				     "[component:d]\nstop_grace = 100ms\ngroup = g\n");
	ck_assert_str_eq(report.restart, "a.group,b.group");
	ck_assert_str_eq(config->components[0].group, "g");
	ck_assert_str_eq(config->components[1].group, "g");
	ck_assert(config->components[2].removed);
	ck_assert_uint_eq(config_group_head(config, 3), 0);
	config_free(config);
}
END_TEST

static void is_refused_because(const char *why, const char *first, const char *then)
{
	struct config *config = load_good(first), *next = load_good(then);
	ck_assert_int_lt(reload_merge(config, next, &report), 0);
	ck_assert_ptr_nonnull(strstr(report.error, why));
	config_free(next);
	config_free(config);
}

static void is_refused(const char *first, const char *then)
{
	is_refused_because("takes a restart", first, then);
}

// Those that were removed keep their places.
START_TEST(there_are_too_many_components_over_time)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	fputs(STORE, file);
	for (int i = 0; i < CONFIG_COMPONENTS_MAX; i++)
		fprintf(file, "[component:c%d]\n", i);
	ck_assert_int_eq(fclose(file), 0);
	is_refused_because("too many components", text, STORE "[component:another]\n");
	struct config *config = follow(load_good(text), STORE "[component:c0]\n");
	ck_assert_uint_eq(config->component_count, CONFIG_COMPONENTS_MAX);
	config_free(config);
	free(text);
}
END_TEST

START_TEST(w19_the_name_of_a_lease_stays_its_own)
{
	is_refused(STORE "[component:a]\n[component:b]\n", STORE "[component:b]\ngroup = a\n");
	is_refused(STORE "[component:a]\ngroup = g\n", STORE "[component:g]\n");
}
END_TEST

// The file was checked against its own lease.
START_TEST(w19_a_group_has_to_fit_into_the_lease_that_is_in_effect)
{
	is_refused(STORE "[component:a]\ngroup = g\n",
		STORE "lease = 60s\nrenew = 2s\ntimeout = 2s\n[component:a]\ngroup = g\nstop_grace = 1500ms\n"
		      "[component:b]\ngroup = g\nstop_grace = 1500ms\n");
}
END_TEST

START_TEST(nothing_changed)
{
	static const char text[] = STORE "[component:b]\nusers = root\n[component:a]\n";
	struct config *config = follow(load_good(text), text);
	ck_assert_uint_eq(report.added + report.removed + report.changed, 0);
	ck_assert_str_eq(report.restart, "");
	config_free(config);
}
END_TEST

START_TEST(what_takes_a_restart_stays)
{
	struct config *config = load_good("[tenure]\nnode = one\nsocket_mode = 0600\n" STORE "[component:a]\n");
	config = follow(config, "[tenure]\nnode = two\nsocket_mode = 0660\nlog_level = debug\nsocket_group = root\n"
				"urgent = yes\n"
				"[store]\ndriver = sqlite\npath = /x\ntimeout = 1s\n[component:a]\ncooldown = 1s\n");
	ck_assert_str_eq(report.restart, "node,socket_mode,socket_group,urgent,driver,path,timeout");
	ck_assert_str_eq(config->node, "one");
	ck_assert_uint_eq(config->socket_mode, 0600);
	ck_assert_ptr_null(config->socket_group);
	ck_assert_uint_eq(config->socket_gid, (gid_t)-1);
	ck_assert_str_eq(config->store.driver, "memory");
	ck_assert_ptr_null(config->store.path);
	ck_assert_int_eq(config->store.timeout_ns, 2 * NS_PER_S);
	ck_assert_int_eq(config->log_level, LOG_LEVEL_DEBUG);
	ck_assert_int_eq(config->components[0].cooldown_ns, NS_PER_S);
	ck_assert_uint_eq(report.changed, 1);
	config_free(config);
}
END_TEST

// S3, S7: who is preferred, who may join and who may manage.
START_TEST(what_is_applied_at_once)
{
	struct config *config = load_good("[tenure]\nadmin_group = root\n" STORE "[component:a]\n[component:b]\n"
					  "[component:c]\n[component:d]\n");
	config = follow(config, "[tenure]\nadmin_group = daemon\n" STORE "history_count = 5\nhistory_age = 1h\n"
				"[component:a]\npriority = 3\n[component:b]\ncandidate = no\n"
				"[component:c]\nprefer_after = 1m\n[component:d]\ngroups = daemon\n");
	ck_assert_str_eq(report.restart, "history_count,history_age");
	ck_assert_uint_eq(report.changed, 4);
	ck_assert_str_eq(config->admin_group, "daemon");
	ck_assert_uint_eq(config->admin_gid, 1);
	ck_assert_int_eq(config->store.history_count, 1000);
	ck_assert_int_eq(config->components[0].priority, 3);
	ck_assert(config->components[1].observes);
	ck_assert_int_eq(config->components[2].prefer_after_ns, 60 * NS_PER_S);
	ck_assert_uint_eq(config->components[3].groups.items[0].id, 1);
	config_free(config);
}
END_TEST

// W24 holds for what is in effect: a grace that fits the file's lease only has to wait as that has to.
START_TEST(a_grace_that_does_not_fit_yet)
{
	struct config *config = load_good(STORE "[component:a]\nstop_grace = 1s\n");
	config = follow(config, STORE "lease = 60s\n[component:a]\nstop_grace = 9s\n[component:b]\nstop_grace = 9s\n");
	ck_assert_str_eq(report.restart, "a.stop_grace,b.stop_grace,lease,renew,poll,timeout");
	ck_assert_int_eq(config->components[0].stop_grace_ns, NS_PER_S);
	ck_assert_int_eq(config->components[1].stop_grace_ns, 2 * NS_PER_S);
	config_free(config);
}
END_TEST

START_TEST(another_password_in_the_same_file)
{
	char text[256];
	snprintf(text, sizeof text,
		"[store]\ndriver = postgresql\nconninfo = host=x\npassword_file = %s\n[component:a]\n", secret_path());
	write_file(secret_path(), "one\n", 4);
	ck_assert_int_eq(chmod(secret_path(), 0600), 0);
	struct config *config = load_good(text);
	write_file(secret_path(), "two\n", 4);
	ck_assert_int_eq(chmod(secret_path(), 0600), 0);
	config = follow(config, text);
	ck_assert_str_eq(report.restart, "password_file");
	ck_assert_str_eq(config->store.password, "one");
	config_free(config);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reload");
	TCase *elects = tcase_create("election");
	tcase_add_checked_fixture(elects, set_up, tear_down);
	tcase_add_test(elects, a_removed_component_is_drained_and_released);
	tcase_add_test(elects, it_is_claimed_no_more_until_it_comes_back);
	tcase_add_test(elects, its_worker_goes_and_another_comes);
	tcase_add_test(elects, others_go_on);
	tcase_add_test(elects, a_candidate_is_none_any_more);
	tcase_add_test(elects, a_claim_that_is_out_comes_to_nothing);
	tcase_add_test(elects, an_unanswered_claim_is_given_back);
	tcase_add_test(elects, a_resumed_term_is_removed);
	tcase_add_test(elects, leases_are_added_while_an_exchange_is_out);
	tcase_add_test(elects, what_others_offer_is_seen_before_what_was_added);
	tcase_add_test(elects, an_added_lease_waits_for_its_configuration);
	tcase_add_test(elects, a_longer_grace_counts_at_once);
	tcase_add_test(elects, the_reason_has_its_name);
	suite_add_tcase(suite, elects);
	TCase *stores = tcase_create("store");
	tcase_add_test(stores, the_store_takes_more_names);
	suite_add_tcase(suite, stores);
	TCase *merges = tcase_create("configuration");
	tcase_add_checked_fixture(merges, make_test_directory, remove_test_directory);
	tcase_add_test(merges, components_keep_their_places);
	tcase_add_test(merges, there_are_too_many_components_over_time);
	tcase_add_test(merges, nothing_changed);
	tcase_add_test(merges, w19_a_component_changes_its_group_at_a_restart);
	tcase_add_test(merges, w19_the_name_of_a_lease_stays_its_own);
	tcase_add_test(merges, w19_a_group_has_to_fit_into_the_lease_that_is_in_effect);
	tcase_add_test(merges, what_takes_a_restart_stays);
	tcase_add_test(merges, what_is_applied_at_once);
	tcase_add_test(merges, a_grace_that_does_not_fit_yet);
	tcase_add_test(merges, another_password_in_the_same_file);
	suite_add_tcase(suite, merges);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
