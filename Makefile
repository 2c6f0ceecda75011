# SPDX-License-Identifier: Apache-2.0
# The layers and the rule between them are described in src/README.md.
#
#: make            build/tenured, build/tenurectl, build/libtenure.so, build/libtenure.a
#: make check      the tests; CHECK="tools layers unit fuzz counts model sim store system once chaos" is all, or some
#: make check-more what takes longer: CHECK="races more package"
#: make lint       formatting, static analysis and style
#: make coverage   what unit, fuzz, sim, store and system tests run of src; CHECK="unit sim" wants only src/core's share
#: make valgrind   unit and store tests, and what the system tests start, under valgrind; ONLY="test_line run" is some
#: make sim        the simulator; SEED=1 RUNS=1000
#: make fuzz       each target of tests/fuzz for MINUTES=10, on a core at low priority; TARGETS="line rows" only those
#: make fuzz-corpus   what it found goes into tests/fuzz/corpus, as far as it adds something
#: make model      the protocol before a model checker; BOUNDS=large looks further
#: make bench      side by side with others, into tests/bench/RESULTS.md; ONLY="check handover" is some of it
#: make chaos      five daemons and all that goes wrong; MINUTES=2 STORE=postgresql|mariadb|galera SEED=… REPORT=yes
#: make failover   fail-overs to a stale replica, of PostgreSQL ROUNDS=50 and of MariaDB two fifths of it
#: make consistency   the workers of src/examples while leaders are killed, frozen and moved, and without an election;
#:                 MINUTES=5
#: make load       clients of the worst kind and 100,000 connections: how long grants take meanwhile, and the memory
#: make states     draws the core's state tables again, src/core/states.svg
#: make examples   the three workers of src/examples, in build/examples
#: make demo       an election to watch; STORE=sqlite or STORE=postgresql
#: make format     puts the sources into the format that lint wants
#: make install    below PREFIX (/usr/local); DESTDIR, bindir, libdir and so on as usual
#: make uninstall  takes away what install put there
#: make dist       the tree of the last commit as B/tenure-VERSION.tar.gz
#: make deb        Debian packages of this tree, as B/*.deb
#: make newcomer   the README's way from a bare Debian 12 to a fail-over, tried
#: make clean
#:
#: B=DIR           where everything goes (build)
#: MODE=M          release, debug, asan, tsan, fuzz or coverage; all but release go to B/M
#: CC, CFLAGS, CPPFLAGS, LDFLAGS   the compiler, and what is added to its flags
#: WERROR=1        warnings are errors
#: WITH_PGSQL=0, WITH_SQLITE=0, WITH_MYSQL=0   without that database
#: V=1             shows the commands
#: PACKAGES=mine   installs no Debian package

B ?= build
MODE ?= release
ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(MODE)),clang,gcc)
endif
WITH_PGSQL ?= 1
WITH_SQLITE ?= 1
WITH_MYSQL ?= $(if $(wildcard src/store/mysql.c),1,0)

MODES := release debug asan tsan fuzz coverage analyzer
$(if $(filter $(MODE),$(MODES)),,$(error MODE=$(MODE): one of $(MODES)))

O := $(B)/obj/$(MODE)
P := $(if $(filter release,$(MODE)),$(B),$(B)/$(MODE))

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.PHONY: FORCE

on = $(filter-out 0,$($1))

# ---- packages: before anything else, for a bare Debian has no compiler ----

GOALS := $(or $(MAKECMDGOALS),all)
FREE_GOALS := help clean uninstall dist format lint-format lint-shell lint-man lint-style
ifneq ($(filter-out $(FREE_GOALS),$(GOALS)),)
BUILDING := yes
endif
TESTING := $(filter check check-more tests sim-check chaos failover consistency load coverage valgrind lint lint-tidy,\
	$(GOALS))
SECTIONS := $(if $(BUILDING),build $(if $(call on,WITH_PGSQL),pgsql) $(if $(call on,WITH_SQLITE),sqlite) \
	$(if $(call on,WITH_MYSQL),mysql) $(if $(findstring clang,$(CC)),clang)) \
	$(if $(filter check tests chaos bench,$(GOALS)),chaos) \
	$(if $(TESTING),check $(if $(call on,WITH_PGSQL),check-pgsql) $(if $(call on,WITH_MYSQL),check-mysql)) \
	$(if $(filter fuzz fuzz-corpus,$(GOALS)),fuzz) $(if $(filter check model,$(GOALS)),model) \
	$(if $(filter lint lint-% format,$(GOALS)),lint) $(if $(filter demo,$(GOALS)),demo demo-$(STORE)) \
	$(if $(filter states,$(GOALS)),states) $(if $(filter bench,$(GOALS)),bench) \
	$(if $(filter deb newcomer,$(GOALS))$(filter package,$(CHECK)),deb) $(if $(filter newcomer,$(GOALS)),newcomer)
ifeq ($(PACKAGES)$(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),)
ifneq ($(strip $(SECTIONS)),)
ifneq ($(shell tests/tools/ensure-packages $(SECTIONS) && echo ok),ok)
$(error packages are missing)
endif
export PACKAGES := ensured
endif
endif

# ---- flags ----

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wswitch-enum \
	$(if $(call on,WERROR),-Werror)
CFLAGS_release := -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
CFLAGS_debug := -O0 -g3
CFLAGS_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
CFLAGS_fuzz := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
CFLAGS_coverage := -O0 -g --coverage
# gcc 12 loses sight of what is stored at a computed place; LeakSanitizer does not.
CFLAGS_analyzer := -O1 -fanalyzer -Wno-analyzer-malloc-leak -Werror
LDFLAGS_release := -Wl,-z,relro,-z,now

# Everything is position-independent: the same objects go into the programs and into libtenure.so.
COMPILE = $(CC) -std=gnu11 -D_GNU_SOURCE -fPIC -fvisibility=hidden -pthread $(WARNINGS) $(CFLAGS_$(MODE))
LINK = $(CC) -pthread $(CFLAGS_$(MODE)) $(LDFLAGS_$(MODE)) -Wl,--as-needed
WITH := $(foreach w,WITH_PGSQL WITH_SQLITE WITH_MYSQL,$(if $(call on,$w),-D$w=1))

ifdef BUILDING
pkg = $(shell pkg-config $1)
PQ_CFLAGS := $(if $(call on,WITH_PGSQL),$(call pkg,--cflags libpq))
MYSQL_CFLAGS := $(if $(call on,WITH_MYSQL),$(call pkg,--cflags libmariadb))
CTL_CFLAGS := $(call pkg,--cflags smartcols)
LIBS_OF_postgresql := $(if $(call on,WITH_PGSQL),$(call pkg,--libs libpq))
LIBS_OF_sqlite := $(if $(call on,WITH_SQLITE),$(call pkg,--libs sqlite3))
LIBS_OF_mysql := $(if $(call on,WITH_MYSQL),$(call pkg,--libs libmariadb))
STORE_LIBS := $(LIBS_OF_postgresql) $(LIBS_OF_sqlite) $(LIBS_OF_mysql)
# Debian wants every library to name libc, though this one needs nothing of it by itself.
LIBS_OF_http := $(call pkg,--libs libmicrohttpd) -Wl,--no-as-needed
MODULE_LIBS := $(STORE_LIBS) $(LIBS_OF_http)
DAEMON_LIBS := -lev $(call pkg,--libs inih)
CTL_LIBS := $(call pkg,--libs smartcols)
CHECK_LIBS = $(call pkg,--libs check)
CC_VERSION := $(shell $(CC) --version | head -n 1)
endif

# ---- layers: what each may include, from where ----

LAYERS := base core wire store daemon client ctl
SEES_base := base
SEES_core := base core
SEES_wire := base core wire
SEES_store := base core store
SEES_daemon := base core wire store daemon
SEES_client := base wire client
SEES_ctl := base wire client ctl
WITH_store := $(WITH)
WITH_daemon := $(WITH)
# Programs to copy from, no layer: of ours they see tenure.h and libtenure.so, as any user's do.
SEES_examples := examples
WITH_examples := $(WITH)
SEES_tests := $(LAYERS)

includes = $(patsubst %,-iquote src/%,$(SEES_$1))

MYSQL_SOURCES := $(wildcard src/store/mysql*.c)
# The others of its files do not need the library.
PQ_SOURCES := $(patsubst %,src/store/postgresql%.c,_link _statement _init) src/store/postgresql.c
$(foreach f,$(PQ_SOURCES),$(eval CFLAGS_OF_$(f:src/%.c=%) := $(PQ_CFLAGS)))
$(foreach f,$(MYSQL_SOURCES),$(eval CFLAGS_OF_$(f:src/%.c=%) := $(MYSQL_CFLAGS)))
CFLAGS_OF_ctl := $(CTL_CFLAGS)
CFLAGS_OF_examples = -I$(O)/installed
CFLAGS_OF_examples/sql_postgresql := $(PQ_CFLAGS)
CFLAGS_OF_examples/sql_mysql := $(MYSQL_CFLAGS)

LEFT_OUT := $(if $(call on,WITH_PGSQL),,$(PQ_SOURCES)) $(if $(call on,WITH_SQLITE),,%/sqlite.c) \
	$(if $(call on,WITH_MYSQL),,$(MYSQL_SOURCES)) %/main.c
LEFT_OUT += $(if $(call on,WITH_PGSQL),,%/sql_postgresql.c) $(if $(call on,WITH_SQLITE),,%/sql_sqlite.c) \
	$(if $(call on,WITH_MYSQL),,%/sql_mysql.c)
sources = $(filter-out $(LEFT_OUT),$(wildcard src/$1/*.c))
objects = $(patsubst src/%.c,$(O)/%.o,$(call sources,$1))
archives = $(patsubst %,$(O)/%.a,$1)

# $(call stamp,FILE,TEXT): FILE holds TEXT, and is as old as TEXT is.
define stamp
ifneq ($$(strip $$(file <$1)),$$(strip $2))
$1: FORCE
endif
$1:
	$$(shell mkdir -p $$(@D))$$(file >$$@,$$(strip $2))
endef
STAMP := $(O)/flags
ifdef BUILDING
$(eval $(call stamp,$(STAMP),$$(CC_VERSION) $$(COMPILE) $$(LINK) $$(WITH) $$(CPPFLAGS) $$(CFLAGS) $$(LDFLAGS)))
$(foreach l,$(LAYERS),$(eval $(call stamp,$(O)/$l.objects,$(call objects,$l))))
endif

# ---- rules ----

Q := $(if $(call on,V),,@)
say = @$(if $(Q),printf '  %-5s %s\n' $1 $2,:)
# $(call compile,LAYER,FLAGS)
define compile
@mkdir -p $(@D)
$(call say,CC,$<)
$(Q)$(COMPILE) $(call includes,$1) $(WITH_$1) $2 $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
endef
# $(call link,INPUTS,LIBRARIES)
define link
@mkdir -p $(@D)
$(call say,LINK,$@)
$(Q)$(LINK) $(LDFLAGS) -o $@ $1 $2
endef

MAINS := $(patsubst src/%.c,$(O)/%.o,$(wildcard src/*/main.c))
LIB := $(if $(call sources,client),$(P)/libtenure.so $(P)/libtenure.a)
PROGRAMS := $(if $(filter %/daemon/main.o,$(MAINS)),$(P)/tenured) $(if $(filter %/ctl/main.o,$(MAINS)),$(P)/tenurectl)

# A module is a file of its own, with what it needs of ours; tests have all of them linked in. Those of the store are
# its drivers.
DRIVERS := $(if $(call on,WITH_PGSQL),postgresql) $(if $(call on,WITH_MYSQL),mysql) $(if $(call on,WITH_SQLITE),sqlite)
MODULES := $(patsubst %,$(P)/modules/%.so,$(DRIVERS) http)
driver_objects = $(filter $(O)/store/$1%,$(call objects,store))
HTTP_LIBRARY := $(O)/daemon/http_library.o
MODULE_OBJECTS := $(foreach d,$(DRIVERS),$(call driver_objects,$d)) $(HTTP_LIBRARY)

.PHONY: all objects
objects: $(foreach l,$(LAYERS),$(call objects,$l)) $(MAINS)
all: $(PROGRAMS) $(MODULES) $(LIB) $(call archives,$(LAYERS)) examples

$(O)/%.o: src/%.c $(STAMP)
	$(call compile,$(*D),$(CFLAGS_OF_$*) $(CFLAGS_OF_$(*D)))

$(O)/tests/%.o: tests/%.c $(STAMP)
	$(call compile,tests,$(WITH) $(PQ_CFLAGS) $(MYSQL_CFLAGS))

define archive_rule
$(O)/$1.a: $(call objects,$1) $(O)/$1.objects
	@rm -f $$@
	$$(Q)ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach l,$(LAYERS),$(eval $(call archive_rule,$l)))

# What is missing is missed now, and not when it is loaded; a sanitizer's is in the program.
DEFINED = $(if $(filter release debug,$(MODE)),-Wl$(comma)-z$(comma)defs)
define module_rule
$(P)/modules/$1.so: $2 $(STAMP)
	$$(call link,-shared $$(DEFINED) $$(filter %.o %.a,$$^),$$(LIBS_OF_$1))
endef
$(foreach d,$(DRIVERS),$(eval $(call module_rule,$d,$(call driver_objects,$d) $(call archives,store base))))
$(eval $(call module_rule,http,$(HTTP_LIBRARY)))

# A module that is not built any more is not found any more.
$(P)/tenured: $(O)/daemon/main.o $(call archives,daemon store wire core base) $(STAMP) | $(MODULES)
	@rm -f $(filter-out $(MODULES),$(wildcard $(P)/modules/*.so))
	$(call link,$(filter %.o %.a,$^),$(DAEMON_LIBS))

$(P)/tenurectl: $(O)/ctl/main.o $(call archives,ctl client wire base) $(STAMP)
	$(call link,$(filter %.o %.a,$^),$(CTL_LIBS))

# libtenure is one object in which only what tenure.h declares is visible.
VERSION := $(shell sed -n 's/^.define TENURE_VERSION "\(.*\)"/\1/p' src/base/base.h)
SONAME := libtenure.so.$(firstword $(subst ., ,$(VERSION)))
MAP := $(wildcard src/client/libtenure.map)

$(O)/libtenure.o: $(O)/client.a $(O)/wire.a $(O)/base.a $(STAMP)
	$(Q)ld -r -o $@ --whole-archive $(O)/client.a --no-whole-archive $(O)/wire.a $(O)/base.a
	$(Q)objcopy --localize-hidden $@

$(P)/libtenure.a: $(O)/libtenure.o
	@mkdir -p $(@D)
	$(call say,AR,$@)
	@rm -f $@
	$(Q)ar rcs $@ $<

$(P)/libtenure.so: $(O)/libtenure.o $(MAP)
	$(call link,-shared -Wl$(comma)-soname$(comma)$(SONAME) $(MAP:%=-Wl$(comma)--version-script=%) $<)
	$(Q)mv $@ $@.$(VERSION) && ln -sf $(notdir $@).$(VERSION) $(P)/$(SONAME) && ln -sf $(SONAME) $@
comma := ,

EXAMPLES := discovery engine counter
EXAMPLE_PARTS := $(filter-out $(EXAMPLES:%=$(O)/examples/%.o),$(call objects,examples))
.PHONY: examples
examples: $(EXAMPLES:%=$(P)/examples/%)

$(O)/installed/%.h: src/client/%.h
	@mkdir -p $(@D)
	@cp $< $@
$(call objects,examples): | $(O)/installed/tenure.h

$(EXAMPLES:%=$(P)/examples/%): $(P)/examples/%: $(O)/examples/%.o $(EXAMPLE_PARTS) $(P)/libtenure.so $(STAMP)
	$(call link,$(filter %.o %.so,$^),-Wl$(comma)-rpath$(comma)'$$ORIGIN/..' -lev $(STORE_LIBS))

# ---- tests ----

TEST_ARCHIVES := $(call archives,ctl client daemon store wire core base)
programs = $(patsubst %.c,$(P)/%,$(wildcard tests/$1/test_*.c))
UNIT := $(call programs,unit)
STORE_TESTS := $(call programs,store)
STORE_HELPERS := $(patsubst %.c,$(O)/%.o,$(filter-out tests/store/test_%,$(wildcard tests/store/*.c)))
CLOCK := $(P)/tests/chaos/clock.so
HELPERS := $(CLOCK) $(patsubst %.c,$(P)/%,$(filter-out %/clock.c,$(wildcard tests/system/*.c tests/chaos/*.c)))
LOCAL := $(addprefix $(P)/tests/bench/,time_local crowd beat line_worker)
SIM := $(if $(wildcard tests/sim/*.c),$(P)/tests/sim/sim)
COUNTS := $(P)/tests/bench/count_core $(P)/tests/bench/count_socket
TIMERS := $(addprefix $(P)/tests/bench/,$(if $(call on,WITH_PGSQL),time_exchange time_floor time_fleet growth_model) \
	$(if $(call on,WITH_MYSQL),time_floor_mysql))

$(UNIT) $(STORE_TESTS) $(COUNTS) $(TIMERS): $(P)/%: $(O)/%.o $(MODULE_OBJECTS) $(TEST_ARCHIVES) $(STAMP)
	$(call link,$(filter %.o,$^) $(filter %.a,$^),$(CHECK_LIBS) $(MODULE_LIBS) $(DAEMON_LIBS) $(CTL_LIBS))
$(STORE_TESTS): $(STORE_HELPERS)
$(TIMERS): CHECK_LIBS =

# With libFuzzer, or with what runs the files of a corpus in its place.
FUZZ := $(patsubst %.c,$(P)/%,$(wildcard tests/fuzz/fuzz_*.c))
$(FUZZ): $(P)/%: $(O)/%.o $(O)/tests/fuzz/clock.o $(if $(filter fuzz,$(MODE)),,$(O)/tests/fuzz/replay.o) \
		$(MODULE_OBJECTS) $(TEST_ARCHIVES) $(STAMP)
	$(call link,$(filter %.o,$^) $(filter %.a,$^),$(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer) $(MODULE_LIBS) \
		$(DAEMON_LIBS))
$(P)/tests/fuzz/fuzz_store: $(if $(call on,WITH_PGSQL),$(O)/tests/fuzz/postgresql.o) \
	$(if $(call on,WITH_MYSQL),$(O)/tests/fuzz/mysql.o)

# What the system tests start besides our own programs: with libtenure.so, the way others use it.
$(CLOCK): %.so: $(O)/tests/chaos/clock.o $(STAMP)
	$(call link,-shared $<)
$(filter-out $(CLOCK),$(HELPERS)) $(LOCAL): $(P)/%: $(O)/%.o $(P)/libtenure.so $(call archives,wire base) $(STAMP)
	$(call link,$(filter %.o %.so %.a,$^),-Wl$(comma)-rpath$(comma)'$$ORIGIN/../..')

STATES := $(P)/tests/tools/states
$(STATES): $(P)/%: $(O)/%.o $(call archives,core base) $(STAMP)
	$(call link,$(filter %.o %.a,$^))
# What is built with other flags takes other instructions.
COUNTS_CHECK = env TENURE_COMPILER=$(if $(findstring clang,$(CC)),clang,gcc) \
	"TENURE_FLAGS=$(CFLAGS)$(CPPFLAGS)$(LDFLAGS)" tests/bench/check-counts $(P)/tests/bench
STATES_CHECK = tests/tools/check-states $(STATES) src/core/states.svg

# The simulator's core can be told, at run time, to break a rule. All that it does is calculate, half as much again by
# this; it reads nobody's input, and stays where it was built.
SIM_FAST := $(if $(filter release,$(MODE)),-O3 $(if $(filter x86_64 aarch64,$(shell uname -m)),-march=native) \
	-fno-stack-protector -U_FORTIFY_SOURCE $(if $(findstring clang,$(CC)),,-flto=auto -fno-pie -no-pie))
$(O)/mutant/%.o: src/core/%.c $(STAMP)
	$(call compile,core,-DTENURE_MUTANTS $(SIM_FAST))
$(SIM): $(patsubst %.c,$(O)/%.o,$(wildcard tests/sim/*.c)) \
		$(patsubst src/core/%.c,$(O)/mutant/%.o,$(call sources,core)) $(O)/base.a $(STAMP)
	$(call link,$(filter %.o %.a,$^),$(SIM_FAST))
-include tests/sim/sim.mk

# They run on SQLite and PostgreSQL, and some on MariaDB.
MYSQL_TESTS := %/test_mariadb.py %/test_mariadb_failover.py %/test_mariadb_scenarios.py %/test_galera.py \
	%/test_fence.py %/test_examples.py
SYSTEM_TESTS := $(if $(and $(call on,WITH_SQLITE),$(call on,WITH_PGSQL)),$(filter-out \
	$(if $(call on,WITH_MYSQL),,$(MYSQL_TESTS)),$(wildcard tests/system/test_*.py)))
# They wait for the most part, and run beside the others.
WAITING := $(patsubst %,tests/system/test_%.py,waiting reload readme languages pooler mariadb_scenarios \
	terminal prometheus examples fleet groups page consistency package manual demo closed)
# They take long, and are asked for: all scenarios on another database, other languages, races by the thousand.
MORE := $(patsubst %,tests/system/test_%.py,galera languages leaks mariadb_scenarios waiting)
PACKAGE := tests/system/test_package.py
RACES := %/test_galera %/test_races
# How our programs were compiled makes no difference to them.
ONCE := $(patsubst %,tests/system/test_%.py,install systemd page prometheus haproxy fleet readme manual)
PARTS := $(or $(CHECK),tools layers unit fuzz counts model sim store system once chaos)
MORE_PARTS := races more package
ON_SYSTEM := $(filter system once chaos more package,$(PARTS))
part = $(if $(filter $1,$(PARTS)),$2)
script = $(if $(wildcard $1),$1,$2)
scripts = $(foreach t,$1,'$(if $(filter $t,$(WAITING)),waiting,system):python3 -u $t')
LAYER_CHECK = tests/tools/check-layers $(O) $(foreach l,$(LAYERS) examples,$l:$(subst $() ,$(comma),$(SEES_$l)))
# Where the tests find the programs, and how slow to expect them.
export TENURE_BUILD = $(abspath $(P))
export TENURE_MODE = $(MODE)
export PYTHONPYCACHEPREFIX = $(abspath $(B))/python

.PHONY: tests check bench fuzz fuzz-corpus model sim-check sim failover consistency load coverage valgrind demo states
.PHONY: chaos check-more
tests: all $(STATES) $(UNIT) $(COUNTS) $(FUZZ) $(STORE_TESTS) $(SIM) $(HELPERS)

check: $(if $(CHECK),,all) $(call part,tools,$(STATES)) \
		$(call part,layers,$(call archives,$(LAYERS))) $(call part,unit,$(UNIT)) $(call part,counts,$(COUNTS)) \
		$(call part,fuzz,$(FUZZ)) $(call part,sim,$(SIM)) $(if $(filter store races,$(PARTS)),$(STORE_TESTS)) \
		$(if $(ON_SYSTEM),all $(HELPERS))
	$(if $(SYSTEM_TESTS),,@echo 'left out: the system tests, which need SQLite and PostgreSQL')
	@tests/tools/run-tests --logs $(P)/logs \
		$(call part,tools,$(patsubst %,tools:tests/tools/test_%,tools contributing) 'tools:$(STATES_CHECK)') \
		$(call part,layers,'layers:$(LAYER_CHECK)') \
		$(call part,unit,$(UNIT:%='unit:%')) \
		$(call part,fuzz,$(foreach f,$(FUZZ),'fuzz:$f tests/fuzz/corpus/$(patsubst fuzz_%,%,$(notdir $f))')) \
		$(call part,model,model:tests/model/check) \
		$(call part,counts,'counts:$(COUNTS_CHECK)') \
		$(call part,sim,$(if $(SIM),'sim:$(call script,tests/sim/check,$(SIM))')) \
		$(call part,store,$(patsubst %,'store:%',$(filter-out $(RACES),$(STORE_TESTS)))) \
		$(call part,races,$(patsubst %,'store:%',$(filter $(RACES),$(STORE_TESTS)))) \
		$(call part,system,$(call scripts,$(filter-out $(ONCE) $(MORE) $(PACKAGE),$(SYSTEM_TESTS)))) \
		$(call part,once,$(call scripts,$(filter $(ONCE),$(SYSTEM_TESTS)))) \
		$(call part,more,$(call scripts,$(filter $(MORE),$(SYSTEM_TESTS)))) \
		$(call part,package,$(call scripts,$(filter $(PACKAGE),$(SYSTEM_TESTS)))) \
		$(call part,chaos,'tools:python3 -u tests/chaos/test_checker.py' \
			$(if $(call on,WITH_PGSQL),'chaos:nice python3 -u tests/chaos/chaos.py --check --seed 1'))

check-more:
	@$(MAKE) --no-print-directory check CHECK='$(MORE_PARTS)'

sim: $(SIM)
	$(SIM) $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS))

model:
	@BOUNDS=$(BOUNDS) tests/model/check

fuzz fuzz-corpus:
	@$(MAKE) --no-print-directory MODE=fuzz $@-run

.PHONY: fuzz-run fuzz-corpus-run
fuzz-run: $(FUZZ)
	@tests/fuzz/run --minutes $(or $(MINUTES),10) $(P) $(TARGETS)
fuzz-corpus-run: $(FUZZ)
	@tests/fuzz/run --merge $(P) $(TARGETS)

FAILOVERS = TENURE_FAILOVERS=$(or $(ROUNDS),50) python3 -u
failover: all
	$(FAILOVERS) tests/system/test_failover.py over_and_over
	$(if $(call on,WITH_MYSQL),$(FAILOVERS) tests/system/test_mariadb_failover.py over_and_over)

consistency: all
	@TENURE_CONSISTENCY_S=$$(awk 'BEGIN { print $(or $(MINUTES),5) * 60 }') \
		python3 -u tests/system/test_consistency.py

load: all
	@TENURE_LOAD=full python3 -u tests/system/test_load.py

# More than a few minutes; see tests/bench/RESULTS.md.
bench: all $(LOCAL) $(TIMERS) $(SIM) $(HELPERS)
	@tests/bench/bench $(ONLY)

chaos: all $(HELPERS)
	@python3 -u tests/chaos/chaos.py --minutes $(or $(MINUTES),2) --store $(or $(STORE),postgresql) \
		$(if $(SEED),--seed $(SEED)) $(if $(REPORT),--report) --results $(or $(RESULTS),$(P)/chaos)

states: $(STATES)
	@$(STATES_CHECK) draw

sim-check: $(SIM)
	$(call script,tests/sim/check,$(SIM))

# All of src is not run without the system tests. What another user runs cannot be counted, but has to be written.
COVERING := $(or $(CHECK),unit fuzz sim store races system more)
coverage:
	@rm -f $(addprefix $(B)/obj/coverage/,*/*.gcda */*/*.gcda)
	@export TENURE_COVERAGE_OF_OTHERS=$$(mktemp -d) && chmod 1777 $$TENURE_COVERAGE_OF_OTHERS && \
	$(MAKE) --no-print-directory MODE=coverage check CHECK='$(COVERING)'; status=$$?; \
	rm -rf "$$TENURE_COVERAGE_OF_OTHERS"; exit $$status
	@tests/tools/coverage $(B)/obj/coverage src core=98 $(if $(filter system,$(COVERING)),all=85)

# What stands in for each program, whoever starts it. A log is of one process; its number is there twice, unless it was
# only forked.
UNDER := $(B)/valgrind
# It runs one thread at a time, and one that never sleeps would keep the others from theirs.
VALGRIND := valgrind --verbose --vgdb=no --fair-sched=try --track-fds=yes --leak-check=full \
	--errors-for-leak-kinds=none --error-exitcode=9 --suppressions=$(abspath tests/tools/valgrind.supp)
under = $(patsubst $(P)/%,$(UNDER)/%,$1)
UNDER_PROGRAMS := $(call under,$(PROGRAMS) $(UNIT) $(STORE_TESTS) $(filter-out $(CLOCK),$(HELPERS)) \
	$(EXAMPLES:%=$(P)/examples/%))
$(UNDER_PROGRAMS): $(UNDER)/%: $(P)/% Makefile
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nexec %s --log-file=%s.$$$$.%%p %s "$$@"\n' '$(VALGRIND)' \
		'$(abspath $(UNDER)/found/$(@F))' '$(abspath $<)' >$@ && chmod 755 $@

# Left out is what keeps time to milliseconds or measures, what other users start, and what has little of ours in it.
UNDER_UNIT := $(filter-out %/test_ctl_run,$(UNIT))
UNDER_SYSTEM := $(patsubst %,tests/system/test_%.py,smoke schema run seat takeover groups operators reload http \
	metrics languages leaks)
chosen = $(if $(ONLY),$(foreach t,$1,$(if $(strip $(foreach o,$(ONLY),$(findstring $o,$(notdir $t)))),$t)),$1)
# As slow to expect as with a sanitizer, or slower: a driver takes half a second to load.
valgrind: $(UNDER_PROGRAMS) $(MODULES)
	@rm -rf $(UNDER)/found && mkdir -p $(UNDER)/found && chmod 1777 $(UNDER)/found
	@export TENURE_BUILD=$(abspath $(UNDER)) TENURE_MODE=asan TENURE_SLOW=3 CK_FORK=no CK_EXCLUDE_TAGS=native; \
	tests/tools/run-tests --scale 5 --logs $(UNDER)/logs \
		$(patsubst %,'unit:%',$(call under,$(call chosen,$(UNDER_UNIT)))) \
		$(patsubst %,'store:%',$(call under,$(call chosen,$(STORE_TESTS)))) \
		$(patsubst %,'system:python3 -u %',$(call chosen,$(UNDER_SYSTEM))); status=$$?; \
	tests/tools/valgrind-found $(UNDER)/found && exit $$status

demo: all $(HELPERS)
	@tests/system/demo $(if $(STORE),--store $(STORE))

# ---- lint ----

C_SOURCES := $(filter-out $(filter-out %/main.c,$(LEFT_OUT)),$(wildcard src/*/*.c tests/*/*.c))
HEADERS := $(wildcard src/*/*.h tests/*/*.h)
SHELL_SCRIPTS = $(shell grep -rlE '^\#!.*[/ ](ba)?sh$$' .ci tests src)
layer_of = $(if $(filter src/%,$1),$(notdir $(patsubst %/,%,$(dir $1))),tests)

LINTS := format tidy cppcheck analyzer vendor shell man style layers
.PHONY: lint $(LINTS:%=lint-%) format
lint: $(LINTS:%=lint-%)

lint-format:
	$(Q)clang-format --dry-run -Werror $(C_SOURCES) $(HEADERS)
	$(call say,OK,clang-format)

lint-tidy: $(C_SOURCES:%.c=$(B)/lint/%.tidy)
$(B)/lint/%.tidy: %.c $(HEADERS) .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY,$<)
	$(Q)out=$$(clang-tidy --quiet $< -- -std=gnu11 -D_GNU_SOURCE $(call includes,$(call layer_of,$<)) $(WITH) \
		$(if $(filter tests/sim/%,$<),-DTENURE_MUTANTS) \
		$(if $(filter src/examples/%,$<),-Isrc/client) \
		$(PQ_CFLAGS) $(MYSQL_CFLAGS) $(CTL_CFLAGS) 2>/dev/null) || { printf '%s\n' "$$out"; exit 1; }
	@touch $@

lint-cppcheck:
	@mkdir -p $(B)/lint/cppcheck
	$(Q)cppcheck --quiet --std=c11 --enable=warning,performance --inline-suppr --suppress=internalAstError \
		--error-exitcode=1 --library=posix --include=/usr/include/utlist.h --include=/usr/include/uthash.h \
		--cppcheck-build-dir=$(B)/lint/cppcheck $(LAYERS:%=-I src/%) $(WITH) $(C_SOURCES)
	$(call say,OK,cppcheck)

lint-analyzer:
	$(Q)$(MAKE) --no-print-directory MODE=analyzer CC=gcc objects
	$(call say,OK,'gcc -fanalyzer')

# The other vendor's side of the MySQL driver, with the names that only Oracle's header has.
ORACLE_NAMES := -DORACLE_CLIENT -DMYSQL_OPT_SSL_MODE=MYSQL_OPT_SSL_CA -DSSL_MODE_DISABLED=1 -DSSL_MODE_VERIFY_IDENTITY=5
lint-vendor:
	$(if $(call on,WITH_MYSQL),$(Q)$(COMPILE) -Werror -fsyntax-only $(call includes,store) $(WITH) $(MYSQL_CFLAGS) \
		$(ORACLE_NAMES) $(MYSQL_SOURCES))
	$(call say,OK,'the MySQL driver for the other vendor')

lint-shell:
	$(Q)shellcheck $(SHELL_SCRIPTS)
	$(call say,OK,shellcheck)

lint-man:
	$(Q)$(if $(wildcard man/*),mandoc -Tlint -Wwarning $(wildcard man/*))
	$(call say,OK,mandoc)

lint-style:
	$(Q)tests/tools/check-style
	$(call say,OK,style)

lint-layers: $(call archives,$(LAYERS))
	$(Q)$(LAYER_CHECK)

format:
	clang-format -i $(C_SOURCES) $(HEADERS)

# ---- install ----

PREFIX ?= /usr/local
bindir ?= $(PREFIX)/bin
sbindir ?= $(PREFIX)/sbin
libdir ?= $(PREFIX)/lib
# From the program's own directory it is ../lib/tenure.
moduledir := $(dir $(sbindir:%/=%))lib/tenure
includedir ?= $(PREFIX)/include
datarootdir ?= $(PREFIX)/share
mandir ?= $(datarootdir)/man
docdir ?= $(datarootdir)/doc/tenure
pkgconfigdir ?= $(libdir)/pkgconfig
bashcompletiondir ?= $(datarootdir)/bash-completion/completions
zshcompletiondir ?= $(datarootdir)/zsh/site-functions
fishcompletiondir ?= $(datarootdir)/fish/vendor_completions.d
# Not below datarootdir: systemd looks for units in /usr/local/lib/systemd as well.
systemdunitdir ?= $(PREFIX)/lib/systemd/system
sysusersdir ?= $(PREFIX)/lib/sysusers.d
tmpfilesdir ?= $(PREFIX)/lib/tmpfiles.d

FILLED := tenure.pc tenured.service tenure-run@.service
vpath %.in src/client systemd
section = $(patsubst .%,%,$(suffix $1))
# MODE:FROM:TO each, and LINK>TARGET; what is installed is what is uninstalled.
INSTALLED := 755:$(P)/tenured:$(sbindir)/tenured 755:$(P)/tenurectl:$(bindir)/tenurectl \
	$(foreach m,$(DRIVERS) http,644:$(P)/modules/$m.so:$(moduledir)/$m.so) \
	755:$(P)/libtenure.so.$(VERSION):$(libdir)/libtenure.so.$(VERSION) 644:$(P)/libtenure.a:$(libdir)/libtenure.a \
	644:src/client/tenure.h:$(includedir)/tenure.h 644:$(B)/filled/tenure.pc:$(pkgconfigdir)/tenure.pc \
	$(foreach m,$(wildcard man/*.[1-8]),644:$m:$(mandir)/man$(call section,$m)/$(notdir $m)) \
	$(foreach c,$(wildcard $(addprefix conf/*.,conf cfg yml json sql)),644:$c:$(docdir)/examples/$(notdir $c)) \
	644:README.md:$(docdir)/README.md 644:CHANGELOG.md:$(docdir)/CHANGELOG.md 644:LICENSE:$(docdir)/LICENSE \
	$(foreach u,tenured.service tenure-run@.service,644:$(B)/filled/$u:$(systemdunitdir)/$u) \
	644:systemd/tenured.socket:$(systemdunitdir)/tenured.socket \
	644:systemd/sysusers.conf:$(sysusersdir)/tenure.conf 644:systemd/tmpfiles.conf:$(tmpfilesdir)/tenure.conf \
	644:conf/completion/tenurectl.bash:$(bashcompletiondir)/tenurectl \
	644:conf/completion/tenured.bash:$(bashcompletiondir)/tenured \
	644:conf/completion/tenure.zsh:$(zshcompletiondir)/_tenure \
	644:conf/completion/tenurectl.fish:$(fishcompletiondir)/tenurectl.fish \
	644:conf/completion/tenured.fish:$(fishcompletiondir)/tenured.fish
LINKED := $(libdir)/$(SONAME)>libtenure.so.$(VERSION) $(libdir)/libtenure.so>$(SONAME)
OWN_DIRECTORIES := $(docdir)/examples $(docdir) $(moduledir)

field = $(word $1,$(subst :, ,$2))
$(if $(findstring :,$(DESTDIR)$(B)),$(error DESTDIR and B may hold no colon))

define install_one
install -D -m $(call field,1,$1) '$(call field,2,$1)' '$(DESTDIR)$(call field,3,$1)'

endef
define link_one
ln -sf '$(word 2,$(subst >, ,$1))' '$(DESTDIR)$(word 1,$(subst >, ,$1))'

endef
define remove_one
rm -f '$(DESTDIR)$1'

endef

# Into which each @NAME@ of the templates is replaced.
FILL = sed $(foreach n,PREFIX bindir sbindir libdir includedir VERSION,-e 's|@$n@|$($n)|g')

$(FILLED:%=$(B)/filled/%): $(B)/filled/%: %.in
	@mkdir -p $(@D)
	$(Q)$(FILL) $< >$@

.PHONY: install uninstall dist $(FILLED:%=$(B)/filled/%)
install: all $(FILLED:%=$(B)/filled/%)
	$(Q)$(foreach i,$(INSTALLED),$(call install_one,$i))
	$(Q)$(foreach l,$(LINKED),$(call link_one,$l))

uninstall:
	$(Q)$(foreach i,$(INSTALLED),$(call remove_one,$(call field,3,$i)))
	$(Q)$(foreach l,$(LINKED),$(call remove_one,$(word 1,$(subst >, ,$l))))
	$(Q)$(foreach d,$(OWN_DIRECTORIES),[ ! -d '$(DESTDIR)$d' ] || rmdir --ignore-fail-on-non-empty '$(DESTDIR)$d';)

dist:
	@mkdir -p $(B)
	git archive --format=tar.gz --prefix=tenure-$(VERSION)/ -o $(B)/tenure-$(VERSION).tar.gz HEAD

# ---- Debian packages: conf/debian, put in place in a copy of the tree ----

DEB_VERSION ?= $(VERSION)-1
DEB_MAINTAINER ?= Tenure maintainers <tenure@localhost>
# There is no address for all to write to, and no request that a package be made.
DEB_UNCHECKED := bogus-mail-host,bogus-mail-host-in-debian-changelog,initial-upload-closes-no-bugs
# What is packed is as old as the last commit.
DEB_EPOCH = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md))
DEB_TREE := $(B)/deb/tenure-$(VERSION)
DEB_BUILD_DEPENDS = $(filter-out gcc libc6-dev,$(shell awk '/^(build|pgsql|sqlite|mysql) /{$$1=""; print}' \
	tests/tools/packages))

.PHONY: deb newcomer
deb:
	@rm -rf $(B)/deb
	@mkdir -p $(DEB_TREE)
	$(Q)cp -a Makefile README.md CONTRIBUTING.md CHANGELOG.md LICENSE conf man src systemd tests $(DEB_TREE)
	$(Q)mv $(DEB_TREE)/conf/debian $(DEB_TREE)/debian
	$(Q)sed -i -e 's/@MAINTAINER@/$(DEB_MAINTAINER)/' \
		-e 's/@BUILD@/$(subst $() ,$(comma) ,$(strip $(DEB_BUILD_DEPENDS)))/' \
		$(DEB_TREE)/debian/control
	$(Q)printf 'tenure (%s) bookworm; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' '$(DEB_VERSION)' \
		'$(DEB_MAINTAINER)' "$$(LC_ALL=C date -uRd @$(DEB_EPOCH))" >$(DEB_TREE)/debian/changelog
	$(Q)cd $(DEB_TREE) && env -i PATH="$$PATH" HOME=/nonexistent DEB_BUILD_OPTIONS='$(DEB_BUILD_OPTIONS)' \
		dpkg-buildpackage --build=binary --no-sign >../log 2>&1 || { cat ../log; exit 1; }
	$(Q)cd $(B)/deb && lintian --allow-root --fail-on error,warning --suppress-tags $(DEB_UNCHECKED) \
		tenure_*.changes
	@rm -f $(B)/*.deb
	@mv $(B)/deb/*.deb $(B)

newcomer: deb
	@tests/system/newcomer $(B)

# ---- the rest ----

.PHONY: help clean
help:
	@sed -n 's/^#: //p' Makefile

clean:
	rm -rf $(B)

-include $(wildcard $(O)/*/*.d $(O)/tests/*/*.d)
