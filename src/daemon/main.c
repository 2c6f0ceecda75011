// SPDX-License-Identifier: Apache-2.0
// tenured: the command line, the start, the signals, the end.
#include "agent.h"
#include "config.h"
#include "http.h"
#include "log.h"
#include "loop.h"
#include "notify.h"
#include "options.h"
#include "reload.h"
#include "runtime.h"
#include "server.h"
#include "store.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

// sysexits.h's EX_CONFIG, which systemd knows by that name.
#define EXIT_CONFIGURATION 78
#define NICE_LEAST (-20)

_Static_assert(SERVER_OTHER_DESCRIPTORS >= HTTP_CONNECTIONS + 64, "HTTP has its share, and the rest some");

struct daemon {
	struct loop *loop;
	struct agent *agent;
	const char *config_path;
	const struct config_env *env;
	struct config *config; // the one in effect
	bool stopping;
	bool leaving;
};

// A planned restart (S5): as if killed, but that the log and the exit status say so.
static void on_leave(struct daemon *daemon, int signal_number)
{
	log_info("signal", log_text("name", strsignal(signal_number)),
		log_text("does", "leaves its terms to the next tenured"));
	daemon->leaving = true;
	notify_stopping();
	loop_stop(daemon->loop);
}

// The first asks for an orderly end, the second does not wait for it.
static void on_stop(struct daemon *daemon, int signal_number)
{
	log_info("signal", log_text("name", strsignal(signal_number)),
		log_text("does", daemon->stopping ? "leaves at once" : "revokes and releases"));
	if (daemon->stopping) {
		loop_stop(daemon->loop);
		return;
	}
	daemon->stopping = true;
	notify_stopping();
	agent_shutdown(daemon->agent);
}

// One line of the log for each of the file's faults; all of them in one line for who asked.
static int refuse_file(const struct config_errors *errors, int error, struct reload_report *report)
{
	const char *line = errors->text;
	while (*line != '\0') {
		size_t length = strcspn(line, "\n"), used = strlen(report->error);
		char text[RELOAD_ERROR_BYTES];
		snprintf(text, sizeof text, "%.*s", (int)length, line);
		log_error("reload-refused", log_text("error", text));
		snprintf(report->error + used, sizeof report->error - used, "%s%s", used > 0 ? "; " : "", text);
		line += length + (line[length] == '\n');
	}
	return error;
}

static int refuse(struct reload_report *report, int error, const char *text)
{
	if (text)
		snprintf(report->error, sizeof report->error, "%s", text);
	log_error("reload-refused", log_text("error", report->error));
	return error;
}

static void apply(struct daemon *daemon, struct config *next, const struct reload_report *report)
{
	struct config *before = daemon->config;
	reload_keep(before, next);
	log_set_level(next->log_level);
	log_info("reloaded", log_uint("added", report->added), log_uint("removed", report->removed),
		log_uint("changed", report->changed));
	if (report->restart[0] != '\0')
		log_warning("reload", log_text("takes_a_restart", report->restart));
	daemon->config = next;
	agent_configure(daemon->agent, next);
	config_free(before);
}

// S4: all of the file, or nothing.
static int reload(struct daemon *daemon, struct reload_report *report)
{
	static struct config_errors errors;
	struct config *next;
	errors = (struct config_errors){0};
	if (daemon->stopping)
		return refuse(report, -EBUSY, "the daemon is about to end");
	int error = config_load(daemon->config_path, daemon->env, &next, &errors);
	if (error < 0)
		return refuse_file(&errors, error, report);
	error = reload_merge(daemon->config, next, report);
	if (error == 0)
		error = agent_reserve(daemon->agent, next);
	if (error < 0) {
		config_free(next);
		return refuse(report, error, report->error[0] != '\0' ? NULL : "out of memory");
	}
	apply(daemon, next, report);
	return 0;
}

static int on_reload(void *userdata, struct reload_report *report)
{
	notify_reloading();
	int error = reload(userdata, report);
	notify_ready();
	return error;
}

static void on_signal(void *userdata, int signal_number)
{
	if (signal_number == SIGHUP)
		on_reload(userdata, &(struct reload_report){0});
	else if (signal_number == SIGUSR1)
		on_leave(userdata, signal_number);
	else
		on_stop(userdata, signal_number);
}

static int watch_signals(struct daemon *daemon)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		int error = loop_on_signal(daemon->loop, numbers[i], on_signal, daemon);
		if (error < 0)
			return error;
	}
	return 0;
}

// A descriptor a connection; where the system allows fewer, the server serves fewer.
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	rlim_t wanted = SERVER_CLIENTS + SERVER_OTHER_DESCRIPTORS;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("descriptor-limit", log_errno("error", errno));
}

// Memory is never locked within a limit: a daemon that fits into it today would be refused its next allocation. Where
// there is a limit, one of zero lets only those pass whom it does not bind (CAP_IPC_LOCK).
static int lock_memory(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return -errno;
	limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? RLIM_INFINITY : 0;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 || mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		return -errno;
	return 0;
}

// For leases of a second or less (W8): no other process goes first, and what was used once is not fetched from a disk
// again. Threads that come have it from the first one.
static void be_urgent(void)
{
	if (setpriority(PRIO_PROCESS, 0, NICE_LEAST) < 0)
		log_warning("urgent", log_text("problem", "cannot go before others: LimitNICE=-20 allows it"),
			log_errno("error", errno));
	int error = lock_memory();
	if (error < 0)
		log_warning("urgent", log_text("problem", "cannot keep its memory: LimitMEMLOCK=infinity allows it"),
			log_errno("error", -error));
}

// S7: the database's password is in our memory, and in that of its client's library. Neither goes into a core dump, nor
// can another process read it: not even one of our own user, which workers may be.
static void keep_memory_private(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &(struct rlimit){0}) < 0)
		fprintf(stderr, "tenured: cannot keep its memory from others: %s\n", strerror(errno));
}

static void store_settings(const struct config *config, struct store_config *ret)
{
	*ret = (struct store_config){
		.node = config->node,
		.timeout_ns = config->store.timeout_ns,
		.history_count = config->store.history_count,
		.history_ms = config->store.history_age_ns / NS_PER_MS,
		.conninfo = config->store.conninfo,
		.password = config->store.password,
		.schema = config->store.schema,
		.path = config->store.path,
		.defaults_file = config->store.defaults_file,
		.host = config->store.host,
		.port = config->store.port,
		.socket = config->store.socket,
		.user = config->store.user,
		.database = config->store.database,
		.tls = config->store.tls,
		.tls_ca = config->store.tls_ca,
	};
}

static const char *describe_end(const struct daemon *daemon, bool finished)
{
	if (finished)
		return "all released";
	return daemon->leaving ? "terms left to the next tenured" : "at once; what was held lapses";
}

static int serve(struct daemon *daemon, struct runtime *runtime)
{
	const struct config *config = daemon->config;
	struct store_config store;
	store_settings(config, &store);
	struct agent_setup setup = {
		.loop = daemon->loop,
		.config = config,
		.runtime = runtime,
		.driver = store_driver_find(config->store.driver),
		.store = &store,
		.reload = on_reload,
		.reload_userdata = daemon,
		.config_path = daemon->config_path,
	};
	// The socket first: the umask is changed for a moment, and the agent starts the store's thread.
	int error = runtime_listen(runtime, config->socket_mode, config->socket_gid);
	if (error < 0)
		return error;
	error = agent_new(&daemon->agent, &setup);
	if (error < 0)
		return error;
	error = agent_start(daemon->agent);
	if (error == 0) {
		log_info("ready", log_text("version", TENURE_VERSION), log_text("node", config->node),
			log_text("socket", runtime->socket_path), log_text("driver", config->store.driver),
			log_uint("components", config->component_count), log_text("http", config->http.listen));
		notify_ready(); // whoever leads, and whether or not the database is there (R12)
		error = loop_run(daemon->loop);
	}
	bool finished = agent_is_finished(daemon->agent);
	agent_free(daemon->agent);
	if (error == 0)
		log_info("stopped", log_text("how", describe_end(daemon, finished)));
	return error == 0 && !finished && !daemon->leaving ? -EINTR : error;
}

static int run(struct daemon *daemon)
{
	struct config *config = daemon->config;
	struct runtime runtime;
	raise_descriptor_limit();
	if (!config->patient)
		be_urgent();
	int error = runtime_open(&runtime, config->runtime_dir, config->component_count);
	if (error < 0)
		return EXIT_FAILURE;
	error = agent_keep_leading(config, runtime.page);
	if (error == 0)
		error = loop_new(&daemon->loop);
	// Signals before threads: they are blocked for those that come.
	if (error == 0)
		error = watch_signals(daemon);
	if (error < 0)
		log_error("start", log_text("problem", "cannot set up the event loop"), log_errno("error", error));
	else
		error = serve(daemon, &runtime);
	if (daemon->loop)
		loop_hurry(daemon->loop); // what waits to be accepted is closed
	runtime_close(&runtime);
	loop_free(daemon->loop);
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check_store(const struct config *config, char *ret_text, size_t size)
{
	char text[EXCHANGE_TEXT_SIZE];
	struct store_config store;
	store_settings(config, &store);
	const struct store_driver *driver;
	int error = store_driver_load(config->store.driver, &driver, text);
	if (error == 0)
		error = store_check(driver, &store, text);
	if (error < 0)
		snprintf(ret_text, size, "%s", text);
	return error;
}

// What was printed counts once it is written. `program`: the one that was asked for it.
static int end_output(int error, const char *program)
{
	if (error == 0 && fflush(stdout) != 0)
		error = -errno;
	if (error < 0)
		fprintf(stderr, "%s: cannot print: %s\n", program, strerror(-error));
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

// Asked for by `tenurectl init` alone, which becomes this program for it: to whoever called that, it is tenurectl.
#define INIT_PROGRAM "tenurectl"

static int init_schema(const struct config *config, bool print)
{
	char text[EXCHANGE_TEXT_SIZE];
	struct store_config store;
	const struct store_driver *driver = store_driver_find(config->store.driver);
	store_settings(config, &store);
	if (print)
		return end_output(store_print_schema(driver, &store, stdout), INIT_PROGRAM);
	int error = store_init_schema(driver, &store, text);
	if (error < 0)
		fprintf(stderr, INIT_PROGRAM ": %s: %s\n", config->store.driver, text);
	else
		fprintf(stderr, INIT_PROGRAM ": %s: the schema is in place\n", config->store.driver);
	return error < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int act(const struct options *options, struct daemon *daemon)
{
	const struct config *config = daemon->config;
	switch (options->action) {
	case OPTIONS_DUMP:
		return end_output(config_dump(config, stdout), "tenured");
	case OPTIONS_INIT_SCHEMA:
	case OPTIONS_PRINT_SCHEMA:
		return init_schema(config, options->action == OPTIONS_PRINT_SCHEMA);
	case OPTIONS_RUN:
		log_init();
		log_set_level(config->log_level);
		return run(daemon);
	case OPTIONS_CHECK:
	case OPTIONS_VERSION:
	case OPTIONS_HELP:
	default:
		return EXIT_SUCCESS;
	}
}

static int load_and_act(const struct options *options)
{
	static struct config_errors errors;
	struct daemon daemon = {.config_path = options->config_path};
	struct config_env env = {.drivers = store_driver_names(), .check_store = check_store, .check_http = http_check};
	if (config_load(daemon.config_path, &env, &daemon.config, &errors) < 0) {
		fputs(errors.text, stderr);
		return EXIT_CONFIGURATION;
	}
	daemon.env = &env;
	int status = act(options, &daemon);
	config_free(daemon.config);
	return status;
}

// What is large is there for one exchange, or one page: it goes back to the system, however often it comes.
static void keep_memory_small(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

int main(int argc, char *argv[])
{
	struct options options;
	keep_memory_private();
	keep_memory_small();
	if (options_parse(argc, argv, stderr, &options) < 0)
		return OPTIONS_EXIT_USAGE;
	if (options.action == OPTIONS_HELP)
		options_print_help(stdout);
	else if (options.action == OPTIONS_VERSION)
		options_print_version(stdout);
	else
		return load_and_act(&options);
	return EXIT_SUCCESS;
}
