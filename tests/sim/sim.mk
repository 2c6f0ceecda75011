# SPDX-License-Identifier: Apache-2.0
# The simulator's part of the build: the store's model of its tables comes along, and can break its rules, too.

$(O)/mutant/tables.o: src/store/tables.c $(STAMP)
	$(call compile,store,-DTENURE_MUTANTS $(SIM_FAST))

$(O)/tests/sim/%.o: tests/sim/%.c $(STAMP)
	$(call compile,tests,-DTENURE_MUTANTS $(SIM_FAST))

$(SIM): $(O)/mutant/tables.o

# Sanitizers and counters take their time.
export SIM_HOURS ?= $(if $(filter release,$(MODE)),5000,200)
