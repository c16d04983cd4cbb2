# `make` alone says what there is. A target is listed when its program is there.

PYTHON ?= python3
# Further words for pytest: make test ARGS="-k invoice"
ARGS ?=
BIN := .venv/bin
READY := .venv/.installed
CODE := $(wildcard contracts chassis services local tests bench)

.DEFAULT_GOAL := help
TARGETS := up reset demo test check book
.PHONY: help up reset demo test check book e2e chaos bench load screens

help_up := Set up what is missing, start everything, stay in the foreground. Ctrl-C stops it and keeps the data.
up: $(READY)
	@$(BIN)/python -m local up

help_reset := Delete everything that make up made: data, mails, ports, passwords.
reset: $(READY)
	@$(BIN)/python -m local reset

help_demo := Against the running system: play the story from Send Invite to the receipt, step by step.
demo: $(READY)
	@$(BIN)/python -m local demo

help_test := Every test on private servers and in a headless browser. ARGS="-k invoice" narrows it.
test: $(READY)
	@$(BIN)/python -m local.install --tests
	@$(BIN)/python -m pytest $(ARGS)

help_check := What can be seen without running: format, lint, types, import map, frozen schemas, generated pages.
check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	$(BIN)/python -m contracts.book --check

help_book := Write the generated pages again: docs/messages.md, docs/asyncapi.json, the schemas of new messages.
book: $(READY)
	@$(BIN)/python -m contracts.book

ifneq ($(wildcard tests/e2e/test_*.py),)
TARGETS += e2e
help_e2e := The browser tests alone.
e2e: $(READY)
	@$(BIN)/python -m local.install --tests
	@$(BIN)/python -m pytest tests/e2e $(ARGS)
endif

ifneq ($(wildcard tests/chaos/test_*.py),)
TARGETS += chaos
help_chaos := Five to ten minutes of every fault there is, on real processes under load, then the books. SEED=7 plays it again.
chaos: $(READY)
	@$(BIN)/python -m local.install --tests
	@CHAOS=full SEED=$(SEED) $(BIN)/python -m pytest tests/chaos $(ARGS)
endif

ifneq ($(wildcard bench/__main__.py),)
TARGETS += bench
help_bench := Measure every figure beside its floor; writes bench/results.json.
bench: $(READY)
	@$(BIN)/python -m local.install --tests
	@$(BIN)/python -m bench
endif

ifneq ($(wildcard bench/held.py),)
TARGETS += load
help_load := Ten minutes of mixed traffic at 70 % of what saturates, then three times that, then the books. SECONDS=60 is shorter.
load: $(READY)
	@$(BIN)/python -m local.install --tests
	@SECONDS=$(SECONDS) SEED=$(SEED) REPLICAS=$(REPLICAS) $(BIN)/python -m bench.held
endif

ifneq ($(wildcard docs/screens.py),)
TARGETS += screens
help_screens := Take the pictures of the pages for the documentation.
screens: $(READY)
	@$(BIN)/python -m local.install --tests
	@$(BIN)/python docs/screens.py
endif

help:
	@echo 'make up is the one to begin with. There are:'
	@$(foreach target,$(TARGETS),printf '  make %-8s %s\n' '$(target)' '$(help_$(target))';)

# The virtual environment with exactly the locked versions. The stamp makes the next time instant; a half-made
# environment has none and is made again.
$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed (PYTHON=/path/to/it make up).'; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo 'Installing python3-venv ...'; \
			apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null && \
			DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install python3-venv >/dev/null; \
		else \
			echo 'Missing here: python3-venv. Install it (as root on Debian: apt-get install python3-venv).'; exit 1; \
		fi; \
	fi
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	@echo 'Installing the locked versions of the libraries into .venv ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@touch $@
