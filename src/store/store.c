// SPDX-License-Identifier: Apache-2.0
// The store's thread and its queue of one request.
#include "driver.h"

#include "clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

// More than anybody is configured for: the configuration takes leases of up to ten minutes, and a day's cool-down.
#define LEASE_MS_MAX 600000
#define COOLDOWN_MS_MAX 86400000

// The names that requests were made for; the store, its thread and each job may hold the same ones.
struct name_set {
	struct store_names names;
	unsigned holders; // under the store's lock
};

// A request on its way there and its reply on the way back, with all their arrays, in one allocation.
struct job {
	struct exchange_reply reply; // first: store_reply_free() gets this
	struct job *next;
	struct name_set *names;
	struct exchange_request request;
	int64_t deadline_at;
	struct store_answer answer;
	max_align_t arrays[];
};

struct store {
	const struct store_driver *driver;
	struct store_config config;
	struct store_link *link;   // the thread's, once it runs
	struct store_names names;  // the same; what the driver sees
	struct name_set *in_use;   // the same; where `names` come from
	struct name_set *name_set; // the loop's: what the next request is made for
	pthread_t thread;
	int wake_fd;  // to the thread: look at `waiting` and `closing`
	int abort_fd; // to the driver: give up
	int loop_fd;  // to the loop: readable while there are replies or a hint
	int ended_fd; // to store_free(): the thread is about to end
	pthread_mutex_t lock;
	// Under the lock:
	struct job *waiting;
	struct job *out;
	struct job *first_reply;
	struct job *last_reply;
	bool hinted;
	struct store_hint hint;
	bool closing;
	bool ended;
	bool orphaned; // store_free() left it behind: the thread frees it
};

static void raise_event(int fd)
{
	// It fails only where the counter is full, and then it is readable as well.
	(void)eventfd_write(fd, 1);
}

static void clear_event(int fd)
{
	eventfd_t count;
	(void)eventfd_read(fd, &count);
}

// ---- names ----

static bool has_home(const struct store_home *homes, size_t i)
{
	return homes && homes[i].component;
}

static const char *copy_text(char **free_space, const char *text)
{
	char *copy = *free_space;
	*free_space = stpcpy(copy, text) + 1;
	return copy;
}

static int name_set_new(struct name_set **ret, const char *const *names, const struct store_home *homes, size_t count)
{
	size_t size = sizeof(struct name_set) + (count + 1) * (sizeof *names + sizeof *homes);
	for (size_t i = 0; i < count; i++) {
		size += strlen(names[i]) + 1;
		if (has_home(homes, i))
			size += strlen(homes[i].component) + strlen(homes[i].lease) + 2;
	}
	// One allocation: the set, the pointers, then the texts.
	struct name_set *set = malloc(size);
	if (!set)
		return -ENOMEM;
	const char **name = (const char **)(set + 1);
	struct store_home *home = (struct store_home *)(name + count + 1);
	char *text = (char *)(home + count + 1);
	for (size_t i = 0; i < count; i++) {
		name[i] = copy_text(&text, names[i]);
		home[i] = (struct store_home){0};
		if (!has_home(homes, i))
			continue;
		home[i].component = copy_text(&text, homes[i].component);
		home[i].lease = copy_text(&text, homes[i].lease);
	}
	*set = (struct name_set){.names = {.name = name, .home = home, .count = count}, .holders = 1};
	*ret = set;
	return 0;
}

// Under the lock, as the next one is.
static struct name_set *hold(struct name_set *set)
{
	set->holders++;
	return set;
}

static void let_go(struct name_set *set)
{
	if (set && --set->holders == 0)
		free(set);
}

// ---- jobs ----

// Takes `count` items from `*free_space`. All items start and end on multiples of eight bytes.
static void *carve(char **free_space, size_t count, size_t size)
{
	void *start = *free_space;
	*free_space += count * size;
	return start;
}

static const void *carve_copy(char **free_space, const void *from, size_t count, size_t size)
{
	void *start = carve(free_space, count, size);
	if (count)
		memcpy(start, from, count * size);
	return start;
}

static struct job *job_new(const struct exchange_request *request, int64_t deadline_at, struct name_set *names)
{
	size_t row_count = request->report ? names->names.count : 0;
	size_t size = request->release_count * sizeof *request->releases +
		      request->claim_count * (sizeof *request->claims + sizeof(struct exchange_grant)) +
		      request->sweep_count * sizeof *request->sweeps + request->offer_count * sizeof *request->offers +
		      row_count * sizeof(struct exchange_row) + request->history_count * sizeof(struct exchange_past) +
		      (request->ask ? sizeof *request->ask : 0);
	struct job *job = calloc(1, sizeof *job + size);
	if (!job)
		return NULL;
	char *space = (char *)job->arrays;
	job->request = *request;
	job->request.releases =
		carve_copy(&space, request->releases, request->release_count, sizeof *request->releases);
	job->request.claims = carve_copy(&space, request->claims, request->claim_count, sizeof *request->claims);
	job->request.sweeps = carve_copy(&space, request->sweeps, request->sweep_count, sizeof *request->sweeps);
	job->request.offers = carve_copy(&space, request->offers, request->offer_count, sizeof *request->offers);
	if (request->ask)
		job->request.ask = carve_copy(&space, request->ask, 1, sizeof *request->ask);
	job->answer.grants = carve(&space, request->claim_count, sizeof(struct exchange_grant));
	job->answer.rows = carve(&space, row_count, sizeof(struct exchange_row));
	job->answer.past = carve(&space, request->history_count, sizeof(struct exchange_past));
	job->answer.reply = &job->reply;
	job->reply.number = request->number;
	job->reply.outcome = EXCHANGE_UNKNOWN;
	job->reply.grants = job->answer.grants;
	job->reply.rows = job->answer.rows;
	job->reply.past = job->answer.past;
	job->deadline_at = deadline_at;
	job->names = names;
	return job;
}

// Of a job that is not answered; under the lock.
static void job_free(struct job *job)
{
	if (!job)
		return;
	let_go(job->names);
	store_free_offers(&job->answer);
	free(job);
}

// ---- the thread ----

// The next job to carry out, or NULL where there is none; false at the end.
static bool take_job(struct store *store, struct job **ret)
{
	pthread_mutex_lock(&store->lock);
	struct job *job = store->waiting;
	store->waiting = NULL;
	store->out = job;
	bool closing = store->closing;
	if (!closing)
		clear_event(store->abort_fd);
	pthread_mutex_unlock(&store->lock);
	*ret = job;
	return !closing;
}

static void drop_job(struct store *store, struct job *job)
{
	pthread_mutex_lock(&store->lock);
	store->out = NULL;
	job_free(job);
	pthread_mutex_unlock(&store->lock);
}

static void hand_over(struct store *store, struct job *job)
{
	pthread_mutex_lock(&store->lock);
	store->out = NULL;
	let_go(job->names);
	job->names = NULL;
	*(store->first_reply ? &store->last_reply->next : &store->first_reply) = job;
	store->last_reply = job;
	raise_event(store->loop_fd);
	pthread_mutex_unlock(&store->lock);
}

static void look_for_hint(struct store *store)
{
	struct store_hint hint = {.freed_count = 0};
	if (!store->driver->take_hint(store->link, &hint))
		return;
	pthread_mutex_lock(&store->lock);
	store->hinted = true;
	for (size_t i = 0; i < hint.freed_count; i++)
		store_hint_take(&store->hint, hint.freed[i], true);
	raise_event(store->loop_fd);
	pthread_mutex_unlock(&store->lock);
}

static void wait_for_work(struct store *store)
{
	struct pollfd fds[] = {
		{.fd = store->wake_fd, .events = POLLIN},
		{.fd = store->driver->hint_fd(store->link), .events = POLLIN},
	};
	if (poll(fds, COUNT_OF(fds), -1) < 0)
		return;
	if (fds[0].revents)
		clear_event(store->wake_fd);
	if (fds[1].revents)
		look_for_hint(store);
}

// The driver is to see the names that the job was made for: its answer has room for just those.
static int use_names(struct store *store, struct job *job)
{
	if (store->in_use == job->names)
		return 0;
	struct store_names before = store->names;
	store->names = job->names->names;
	int error = store->driver->grow ? store->driver->grow(store->link) : 0;
	if (error < 0) {
		store->names = before;
		return error;
	}
	pthread_mutex_lock(&store->lock);
	let_go(store->in_use);
	store->in_use = hold(job->names);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

static int64_t sane_lease_ms(int64_t lease_ms)
{
	return lease_ms > 0 && lease_ms <= LEASE_MS_MAX ? lease_ms : LEASE_MS_MAX;
}

// The rows may be anybody's work. A lease that cannot be one is waited for as long as any, so that nobody is killed too
// soon, and a cool-down is as it is configured.
static void mistrust(struct store_answer *answer)
{
	struct exchange_reply *reply = answer->reply;
	for (size_t i = 0; i < reply->row_count; i++) {
		struct exchange_row *row = &answer->rows[i];
		if (row->holder_alive)
			row->holder_lease_ms = sane_lease_ms(row->holder_lease_ms);
		if (row->cooldown_ms < 0 || row->cooldown_ms > COOLDOWN_MS_MAX)
			row->cooldown_ms = -1;
	}
	for (size_t i = 0; i < reply->stray_count; i++)
		reply->strays[i].lease_ms = sane_lease_ms(reply->strays[i].lease_ms);
	for (size_t i = 0; i < reply->offerer_count; i++)
		answer->offerers[i].lease_ms = sane_lease_ms(answer->offerers[i].lease_ms);
}

static void carry_out(struct store *store, struct job *job)
{
	struct store_call call = {
		.request = &job->request,
		.deadline_at = job->deadline_at,
		.abort_fd = store->abort_fd,
	};
	if (use_names(store, job) < 0)
		store_answer_fail(&job->answer, EXCHANGE_UNAVAILABLE, "out of memory");
	else
		store->driver->exchange(store->link, &call, &job->answer);
	mistrust(&job->answer);
	hand_over(store, job);
	// What was announced meanwhile may have been read together with the answer.
	if (store->driver->hint_fd(store->link) >= 0)
		look_for_hint(store);
}

static void store_destroy(struct store *store);

static void *run(void *argument)
{
	struct store *store = argument;
	struct job *job;
	while (take_job(store, &job)) {
		if (!job)
			wait_for_work(store);
		else if (clock_now_ns() >= job->deadline_at)
			drop_job(store, job);
		else
			carry_out(store, job);
	}
	drop_job(store, job);
	store->driver->close(store->link);

	pthread_mutex_lock(&store->lock);
	store->ended = true;
	bool orphaned = store->orphaned;
	raise_event(store->ended_fd);
	pthread_mutex_unlock(&store->lock);
	if (orphaned)
		store_destroy(store);
	return NULL;
}

// ---- the loop's side ----

// Where a configuration has its texts.
static const size_t config_texts[] = {
	offsetof(struct store_config, node),
	offsetof(struct store_config, conninfo),
	offsetof(struct store_config, password),
	offsetof(struct store_config, schema),
	offsetof(struct store_config, path),
	offsetof(struct store_config, defaults_file),
	offsetof(struct store_config, host),
	offsetof(struct store_config, port),
	offsetof(struct store_config, socket),
	offsetof(struct store_config, user),
	offsetof(struct store_config, database),
	offsetof(struct store_config, tls),
	offsetof(struct store_config, tls_ca),
};

static const char **config_text(struct store_config *config, size_t i)
{
	return (const char **)((char *)config + config_texts[i]);
}

static int copy_config(struct store_config *to, const struct store_config *from)
{
	struct store_config given = *from;
	*to = (struct store_config){
		.timeout_ns = from->timeout_ns,
		.history_count = from->history_count,
		.history_ms = from->history_ms,
	};
	for (size_t i = 0; i < COUNT_OF(config_texts); i++) {
		const char *text = *config_text(&given, i);
		if (!text)
			continue;
		char *copy = strdup(text);
		if (!copy)
			return -ENOMEM;
		*config_text(to, i) = copy;
	}
	return 0;
}

static void free_config(struct store_config *config)
{
	if (config->password)
		explicit_bzero((char *)config->password, strlen(config->password));
	for (size_t i = 0; i < COUNT_OF(config_texts); i++)
		free((char *)*config_text(config, i));
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void store_destroy(struct store *store)
{
	struct exchange_reply *reply;
	job_free(store->waiting);
	while (store_next_reply(store, &reply))
		store_reply_free(reply);
	close_fd(store->wake_fd);
	close_fd(store->abort_fd);
	close_fd(store->loop_fd);
	close_fd(store->ended_fd);
	pthread_mutex_destroy(&store->lock);
	free_config(&store->config);
	let_go(store->in_use);
	let_go(store->name_set);
	free(store);
}

static int open_events(struct store *store)
{
	int *const fds[] = {&store->wake_fd, &store->abort_fd, &store->loop_fd, &store->ended_fd};
	for (size_t i = 0; i < COUNT_OF(fds); i++) {
		*fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fds[i] < 0)
			return -errno;
	}
	return 0;
}

int store_new(struct store **ret, const struct store_driver *driver, const struct store_config *config,
	const char *const *names, const struct store_home *homes, size_t name_count)
{
	char text[EXCHANGE_TEXT_SIZE];
	int error = driver->check(config, text);
	if (error < 0)
		return error;
	struct store *store = calloc(1, sizeof *store);
	if (!store)
		return -ENOMEM;
	store->driver = driver;
	store->wake_fd = store->abort_fd = store->loop_fd = store->ended_fd = -1;
	pthread_mutex_init(&store->lock, NULL);

	error = open_events(store);
	if (error == 0)
		error = copy_config(&store->config, config);
	if (error == 0)
		error = name_set_new(&store->name_set, names, homes, name_count);
	if (error == 0) {
		store->in_use = hold(store->name_set);
		store->names = store->name_set->names;
		error = driver->open(&store->link, &store->config, &store->names);
	}
	if (error < 0)
		goto fail;
	error = store_start_thread(&store->thread, run, store);
	if (error < 0) {
		driver->close(store->link);
		goto fail;
	}
	*ret = store;
	return 0;
fail:
	store_destroy(store);
	return error;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	pthread_mutex_lock(&store->lock);
	store->closing = true;
	raise_event(store->abort_fd);
	raise_event(store->wake_fd);
	pthread_mutex_unlock(&store->lock);

	struct pollfd ended = {.fd = store->ended_fd, .events = POLLIN};
	int64_t give_up_at = clock_now_ns() + STORE_FREE_WAIT_MS * NS_PER_MS;
	while (poll(&ended, 1, store_milliseconds_left(give_up_at)) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&store->lock);
	store->orphaned = !store->ended;
	bool orphaned = store->orphaned;
	pthread_t thread = store->thread;
	pthread_mutex_unlock(&store->lock);
	if (orphaned) {
		pthread_detach(thread);
		return;
	}
	pthread_join(thread, NULL);
	store_destroy(store);
}

int store_set_names(struct store *store, const char *const *names, const struct store_home *homes, size_t name_count)
{
	struct name_set *set;
	int error = name_set_new(&set, names, homes, name_count);
	if (error < 0)
		return error;
	pthread_mutex_lock(&store->lock);
	let_go(store->name_set);
	store->name_set = set;
	pthread_mutex_unlock(&store->lock);
	return 0;
}

int store_submit(struct store *store, const struct exchange_request *request, int64_t deadline_at)
{
	struct job *job = job_new(request, deadline_at, store->name_set);
	if (!job)
		return -ENOMEM;
	pthread_mutex_lock(&store->lock);
	hold(job->names);
	job_free(store->waiting);
	store->waiting = job;
	raise_event(store->wake_fd);
	pthread_mutex_unlock(&store->lock);
	return 0;
}

void store_abort(struct store *store, uint64_t number)
{
	pthread_mutex_lock(&store->lock);
	if (store->waiting && store->waiting->request.number == number) {
		job_free(store->waiting);
		store->waiting = NULL;
	}
	if (store->out && store->out->request.number == number)
		raise_event(store->abort_fd);
	pthread_mutex_unlock(&store->lock);
}

int store_fd(const struct store *store)
{
	return store->loop_fd;
}

// Under the lock.
static void settle(struct store *store)
{
	if (!store->first_reply && !store->hinted)
		clear_event(store->loop_fd);
}

bool store_next_reply(struct store *store, struct exchange_reply **ret)
{
	pthread_mutex_lock(&store->lock);
	struct job *job = store->first_reply;
	if (job)
		store->first_reply = job->next;
	settle(store);
	pthread_mutex_unlock(&store->lock);
	if (job)
		*ret = &job->reply;
	return job;
}

void store_reply_free(struct exchange_reply *reply)
{
	struct job *job = (struct job *)reply;
	if (!job)
		return;
	store_free_offers(&job->answer);
	free(job);
}

bool store_take_hint(struct store *store, struct store_hint *ret)
{
	pthread_mutex_lock(&store->lock);
	bool hinted = store->hinted;
	*ret = store->hint;
	store->hinted = false;
	store->hint.freed_count = 0;
	settle(store);
	pthread_mutex_unlock(&store->lock);
	return hinted;
}
