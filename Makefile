# One word a stage, the same here, in pipelines/, in the settings and in the run's folders.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
PIP_FLAGS ?=
RUN ?= default
CORES ?= 2
DATASET ?= scannet
SEED ?= 0
STAGES := $(shell $(PYTHON) panrecon/workflow/stages.py)

BIN := .venv/bin
PANRECON := $(BIN)/panrecon
ROOM := data/raw/scannet/room$(SEED)
# make -n shows the plan of the stages instead of running them
DRY := $(if $(findstring n,$(firstword -$(MAKEFLAGS))),--dry-run)
RUN_STAGES := $(if $(DRY),test ! -x $(PANRECON) ||) $(PANRECON) run
# a word as the shell takes it literally, whatever is in it
quoted = '$(subst ','\'',$(1))'
OPTIONS = $(if $(DATA),--data $(call quoted,$(DATA))) --run $(call quoted,$(RUN)) --cores $(call quoted,$(CORES)) \
	$(foreach s,$(SET),--set $(call quoted,$(s))) $(if $(CONFIG),--settings $(call quoted,$(CONFIG))) $(DRY)

.PHONY: help setup demo lidar-demo weights test test-fast fuzz check lint types bench docs wheel clean $(STAGES)

help:  ## this list
	@grep -hE '^[a-z0-9$$()A-Z%/ -]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | awk -F: '{printf "  make %-22s %s\n", $$1, $$2}'

setup: .venv/ready  ## virtual environment .venv with everything the CPU path needs

.venv/ready: requirements.txt requirements-original.txt setup.cfg
	+@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 14) else "panrecon needs Python 3.11 to 3.14, this is %d.%d; name another with PYTHON=python3.11." % v)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --no-deps --requirement requirements-original.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch .venv/ready

.venv/ready-to-test: .venv/ready requirements-test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --requirement requirements.txt --requirement requirements-test.txt
	@touch .venv/ready-to-test

demo: setup  ## the built-in room, all stages, and its table of panoptic quality
	@test -f $(ROOM)/features/features.json || $(PANRECON) simulate room $(ROOM) --seed $(SEED)
	+@$(if $(DRY),test ! -d $(ROOM) ||) $(RUN_STAGES) scannet/room$(SEED) --run demo --cores $(CORES) $(foreach s,$(SET),--set $(s)) $(DRY)

STREETS := data/raw/lidar-demo
TRAIN_STREETS := $(patsubst %,$(STREETS)/street%,$(shell seq 0 23))
TEST_STREETS := $(patsubst %,$(STREETS)/street%,$(shell seq 40 47))
LIDAR_RUN := data/runs/lidar-demo

lidar-demo: setup  ## a small LiDAR network learns base classes on simulated streets and is scored on others, novel classes too
	@for street in $(TRAIN_STREETS) $(TEST_STREETS); do test -d $$street/v1.0-mini || $(PANRECON) simulate street $$street \
		--layout nuscenes --features --seed $${street##*street} --length 24 --frames 3 --spacing 8 --columns 1024 || exit $$?; done
	$(PANRECON) lidar train $(TRAIN_STREETS) --seed $(SEED) --out $(LIDAR_RUN)/network
	$(PANRECON) lidar infer $(TEST_STREETS) --network $(LIDAR_RUN)/network --out $(LIDAR_RUN)/prediction
	$(PANRECON) lidar evaluate $(TEST_STREETS) --prediction $(LIDAR_RUN)/prediction --json $(LIDAR_RUN)/quality.json \
		--pictures-to $(LIDAR_RUN)/pictures

weights: setup  ## lists, downloads and verifies the public checkpoints; ONLY="sam-vit-huge ..." WEIGHTS=<folder>
	$(PANRECON) weights $(or $(ONLY),--default) $(if $(WEIGHTS),--folder "$(WEIGHTS)")

scannet/%: setup  ## all stages of data/raw/scannet/<scene>; DATA=<folder of scenes> RUN=<name> SET="section.key=value ..."
	+@$(RUN_STAGES) $(call quoted,$@) $(OPTIONS)

own/%: setup  ## the same of a scan of your own, written by panrecon import to data/raw/own/<scene>
	+@$(RUN_STAGES) $(call quoted,$@) $(OPTIONS)

kitti360/%: setup  ## the same of a drive of KITTI-360; DATA=<its root> and <drive> or <drive>_<first>_<last>
	+@$(RUN_STAGES) $(call quoted,$@) $(OPTIONS)

$(STAGES): setup  ## one stage and what it needs: make mesh DATASET=scannet SCENE=<scene>
	+@$(RUN_STAGES) $(call quoted,$(DATASET)/$(SCENE)) --until $@ $(OPTIONS)

TEST := $(BIN)/python -m pytest -q -n auto --dist loadfile

test: .venv/ready-to-test  ## the whole test suite, on every core
	$(TEST)

test-fast: .venv/ready-to-test  ## the tests that take less than 5 s each, on every core
	$(TEST) -m "not slow"

FUZZ_CASES ?= 5000
FUZZ_SEED ?= 1

fuzz: .venv/ready-to-test  ## readers meet FUZZ_CASES damaged files of every kind, drawn from FUZZ_SEED
	FUZZ_CASES=$(call quoted,$(FUZZ_CASES)) FUZZ_SEED=$(call quoted,$(FUZZ_SEED)) $(TEST) tests/fuzz

check: lint types  ## style and types

lint: .venv/ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready-to-test
	$(BIN)/mypy

BENCHMARKS := evaluation_speed labels_against_baseline superface_quality association_ablation association_growth \
	confidence_calibration mask_faults_study mesh_error_study estimate_accuracy field_ablation final_surface frame_subsets encoding_speed \
	kernel_worth run_time teacher_overhead tsdf_speed scale doctor_breaks drive_quality lidar_ablation

bench: .venv/ready-to-test  ## every claim measured: tables, plots and JSON in benchmarks/results/ (hours; one: python -m benchmarks.<name>)
	$(foreach name,$(BENCHMARKS),$(BIN)/python -m benchmarks.$(name) &&) $(if $(PANRECON_BENCH_DATA),$(BIN)/python -m benchmarks.association_targets,true)

docs: .venv/docs-ready  ## the documentation as a site in site/; fails on a broken link and on what is not described
	$(BIN)/python -m mkdocs build --strict

.venv/docs-ready: .venv/ready requirements-docs.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) --requirement requirements-docs.txt
	@touch .venv/docs-ready

wheel: setup  ## dist/panrecon-<version>-py3-none-any.whl, for pip install
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	rm -rf build

clean:  ## what tests and tools left; never data
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis site
