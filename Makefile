# SPDX-License-Identifier: GPL-2.0-only
#
# The entry points for people; "make help" lists them. The work is done by the
# scripts in deterministic/scripts, everything made lies in build/.

.NOTPARALLEL:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory
SHELL := /bin/sh
S := deterministic/scripts

# What may be given on the command line, and of it what only counts there.
VARIABLES := ACCEL CMD CPUS DEBUG DIR FILE FULL JOBS KSRC MD5 MD5_LENGTH MEM MINUTES PROFILE RUNS SEED TEST YES
LINE_ONLY := CMD DEBUG DIR FILE FULL MD5 MD5_LENGTH MINUTES PROFILE RUNS SEED TEST

given := $(foreach v,$(.VARIABLES),$(if $(findstring command line,$(origin $v)),$v))
unknown := $(firstword $(filter-out $(VARIABLES) MAKEFLAGS,$(given)))
ifneq ($(unknown),)
$(error unknown variable $(unknown)$(shell $(S)/suggest.sh '$(unknown)' $(VARIABLES)))
endif

# A dollar sign in a value is the user's, not make's.
$(foreach v,$(filter $(VARIABLES),$(given)),$(eval override export $v := $$(value $v)))
$(foreach v,$(filter-out $(given),$(LINE_ONLY)),$(eval unexport $v))
# The scripts' own, should the user's shell have them.
unexport ROOT TREE

jobs = $(patsubst -j%,%,$(filter -j%,$(MAKEFLAGS)))
SCRIPT = JOBS=$${JOBS:-$(jobs)} $(S)

help:
	@$(S)/help.sh

run demo test exec shell guest tree kernel kernel-debug fetch series series-check \
off-check check gdb one soak prove test-fuzzer test-survival linux-selftests cost bench \
bench-accept user compile_commands clean distclean:
	@$(SCRIPT)/goal.sh $@

.DEFAULT:
	@$(S)/goal.sh --unknown '$@'

.PHONY: help run demo test exec shell guest tree kernel kernel-debug fetch series \
	series-check off-check check gdb one soak prove test-fuzzer test-survival linux-selftests \
	cost bench bench-accept user compile_commands clean distclean
