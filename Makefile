# Two commands: `make run` and `make test`. `make help` lists the rest.
# Values given on the command line reach the tools through the environment.
BUILD ?= build
PYTHON := /usr/bin/python3
MORE ?=
NINJA := ninja -f $(BUILD)/build$(if $(MORE),-more).ninja
export BUILD MORE

.DEFAULT_GOAL := image
.PHONY: image setup configure run test test-placements soak chaos check lint units fuzz fuzz-kernel sim tapstack net-costs net-cover plugins counts image-more exp exp-quick exp-diff vs-linux longest-path check-isolation messages doctor help clean compdb format

setup:
	@tools/setup.sh

configure: setup
	@$(PYTHON) tools/configure.py

image: configure
	@$(NINJA) image

run: configure
	@$(NINJA) image
	@exec $(PYTHON) tools/run.py

test: setup
	@exec $(PYTHON) tools/test.py

# Where the network stack may be: docs/network.md, Placements. `make test` has the short form.
test-placements: setup
	@for place in netd:e1000 netd:netsvc; do PLACE=$$place ONLY=system \
	    K="test_network or test_agent or test_tap or test_routing" $(PYTHON) tools/test.py || exit 1; done

soak: setup
	@LONG=1 ONLY=system exec $(PYTHON) tools/test.py

chaos: setup
	@LONG=1 ONLY=system K=chaos exec $(PYTHON) tools/test.py

check: configure
	@$(NINJA) --quiet image
	@$(PYTHON) tools/check.py

lint: configure compdb
	@$(PYTHON) tools/lint.py

units: configure
	@$(NINJA) tests

fuzz: configure
	@$(NINJA) fuzz

fuzz-kernel: configure
	@$(NINJA) --quiet fuzz-kernel
	@$(PYTHON) tools/fuzz_kernel.py

sim: configure
	@$(NINJA) --quiet sim
	@$(BUILD)/sim/sim $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),1000)) $(SIM)

net-cover: configure
	@$(NINJA) --quiet net-cover
	@$(PYTHON) tools/net_cover.py

tapstack: configure
	@$(NINJA) tapstack

net-costs: configure
	@$(NINJA) --quiet net-costs
	@$(PYTHON) tools/net_costs.py $(ROW)

plugins: configure
	@$(NINJA) plugins

counts: configure image-more
	@$(NINJA) --quiet image plugins
	@$(PYTHON) tools/counts.py

# The system with the programs of tests/model in it.
image-more: configure
	@MORE=tests/model $(PYTHON) tools/configure.py
	@ninja -f $(BUILD)/build-more.ninja --quiet image

exp exp-quick: configure image-more
	@ninja -f $(BUILD)/build.ninja --quiet plugins
	@$(PYTHON) tools/exp $(if $(filter exp-quick,$@),--quick) $(NAME)

exp-diff: configure
	@$(PYTHON) tools/exp/diff.py $(NAME)

vs-linux: configure
	@$(NINJA) --quiet image plugins
	@$(PYTHON) tools/vs_linux $(ROUNDS)

longest-path: configure
	@$(NINJA) --quiet image plugins
	@$(PYTHON) tools/longest.py $(TESTS)

check-isolation: configure
	@$(NINJA) --quiet plugins
	@$(PYTHON) tools/isolation.py

messages: configure
	@$(NINJA) --quiet image plugins
	@$(PYTHON) tools/message_trace.py

doctor:
	@$(PYTHON) tools/doctor.py

compdb: configure
	@$(NINJA) -t compdb cxx > $(BUILD)/compile_commands.json

help:
	@$(PYTHON) tools/help.py

clean:
	rm -rf $(BUILD)

format: setup
	@git ls-files -z --cached --others --exclude-standard '*.cpp' '*.hpp' | xargs -0 clang-format-19 -i
