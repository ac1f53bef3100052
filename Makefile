# Every target sets up what it needs: a virtual environment in .venv with the tested versions.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
LEARNING := .venv/.learning
DEMO_DIR ?= flights_store

.DEFAULT_GOAL := help
.PHONY: help setup learning demo test fuzz check format bench bench-peers bench-judgement-peers bench-feature-peers image docs clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make the virtual environment

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Foldstore needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable .
	touch $@

learning: $(LEARNING) ## add PyTorch and others to the environment: tests that skip without them then run

$(LEARNING): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group learning
	touch $@

demo: $(READY) ## files in, versions, SQL and judgement out: the main job on real flights
	@$(BIN)/foldstore demo $(DEMO_DIR) --replace

test: $(READY) ## every test, on all cores
	$(BIN)/python -m pytest -n auto -q $(TESTFLAGS)

# Other requests each time; what it finds is printed as a request, and belongs into a test.
FUZZ_TIMES ?= 40
fuzz: $(READY) ## hostile requests, for as long as FUZZ_TIMES says
	FUZZ_TIMES=$(FUZZ_TIMES) HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n auto -q $(TESTFLAGS) \
		tests/api/test_contract.py tests/api/test_hostile_rows.py tests/api/test_hostile_names.py

check: $(READY) ## format, lint, types, layers, sizes
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_layout.py

format: $(READY) ## put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## figures, as ratios measured in one run
	$(BIN)/python -m benchmarks

bench-peers: .venv-peers/.ready ## the figures of storage beside other formats, in an environment of their own
	.venv-peers/bin/python -m benchmarks read write

.venv-peers/.ready: pyproject.toml constraints.txt
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-peers/bin/python -m pip install --quiet --constraint constraints.txt --group peers --editable .
	touch $@

bench-judgement-peers: .venv-judgement/.ready .venv-whylogs/.ready .venv-tfdv/.ready ## those of judgement beside pandera, Great Expectations, Evidently, whylogs and TFDV
	.venv-judgement/bin/python -m benchmarks judgement_peers

.venv-judgement/.ready: pyproject.toml
	test -x .venv-judgement/bin/python || $(PYTHON) -m venv .venv-judgement
	.venv-judgement/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-judgement/bin/python -m pip install --quiet --group judgement-peers --editable .
	touch $@

.venv-whylogs/.ready: pyproject.toml
	test -x .venv-whylogs/bin/python || $(PYTHON) -m venv .venv-whylogs
	.venv-whylogs/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-whylogs/bin/python -m pip install --quiet --group whylogs
	touch $@

# TFDV's requirements are old and many: pip gives up on them, uv does not. One of them is built by a C++ compiler.
.venv-tfdv/.ready: pyproject.toml
	test -x .venv-tfdv/bin/python || $(PYTHON) -m venv .venv-tfdv
	.venv-tfdv/bin/python -m pip install --quiet uv
	.venv-tfdv/bin/uv pip install --quiet --python .venv-tfdv/bin/python --only-binary pyarrow --only-binary tensorflow --group tfdv
	touch $@

bench-feature-peers: $(READY) .venv-feast/.ready ## joins and lookups beside Feast, which has an environment of its own; its client asks our server
	$(BIN)/python -m benchmarks feature_peers feature_online_peers feature_server_peers

.venv-feast/.ready: pyproject.toml
	test -x .venv-feast/bin/python || $(PYTHON) -m venv .venv-feast
	.venv-feast/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-feast/bin/python -m pip install --quiet --group feast
	touch $@

# Another base, or a configuration of pip: make image PYTHON_IMAGE=... BUILD_FLAGS="--volume /etc/pip.conf:/etc/pip.conf:ro"
PYTHON_IMAGE ?= docker.io/library/python:3.12-slim
image: $(READY) ## build the image of deploy/Dockerfile with Buildah, as root, and try it
	buildah bud --quiet --format docker --layers --isolation chroot $(BUILD_FLAGS) \
		--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE) --file deploy/Dockerfile --tag foldstore .
	FOLDSTORE_REQUIRE_IMAGE=localhost/foldstore $(BIN)/python -m pytest -q tests/docs/test_image.py

docs: $(READY) ## write the generated pages anew (CLI reference, README output)
	$(BIN)/python docs/generate.py

clean: ## remove what the other targets made
	rm -rf .venv .venv-peers .venv-judgement .venv-whylogs .venv-tfdv .venv-feast .mypy_cache .ruff_cache .pytest_cache .hypothesis $(DEMO_DIR)
