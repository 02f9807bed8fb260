# make demo   set up and build a dataset on the testbed: no key, no GPU, no network but the index
# make reproduce  set up, train and test the arms of Table 3 on the testbed (about ten minutes)
# make related  set up and run W2SR and weak-to-strong reasoning on the testbed (about ten CPU minutes)
# make test   set up and pass the tests
# make check  set up and run linters, types, import layers and the documentation
# make bench  set up and run the benchmarks that take minutes; README names the long ones
# make docs   set up and build the documentation: build/site/index.html
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo reproduce related test check bench docs clean-data

demo: $(VENV)/.local
	$(BIN)/weak2wise build deployments/recipes/testbed.yaml

reproduce: $(VENV)/.train
	$(BIN)/weak2wise ablate deployments/recipes/ablation.yaml

# The practised model stands in for the student after reinforcement learning.
PRACTISED := data/testbed/practised
related: $(VENV)/.train
	test -f $(PRACTISED)/pretraining.json || $(BIN)/python -m testbed.pupils practised --out $(PRACTISED)
	$(BIN)/weak2wise w2sr deployments/recipes/w2sr-testbed.yaml --set \
	  'models.reinforced={backend: transformers, model: $(PRACTISED), dtype: float32, device: cpu}'
	$(BIN)/weak2wise weak-to-strong deployments/recipes/weak-to-strong-testbed.yaml

# The flow tests wait for servers half of the time: two of their files run at once, and the other
# tests beside them, which report after.
test: $(VENV)/.dev
	@$(BIN)/pytest --ignore=tests/flows > $(VENV)/core.log 2>&1 & core=$$!; \
	$(BIN)/pytest tests/flows -n 2 --dist loadfile; flows=$$?; \
	wait $$core; core=$$?; cat $(VENV)/core.log; test $$flows -eq 0 -a $$core -eq 0

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/validate-pyproject pyproject.toml
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/racing.py
	$(BIN)/python benchmarks/client.py
	$(BIN)/python benchmarks/client.py --sequential
	$(BIN)/python benchmarks/replicas.py
	$(BIN)/python benchmarks/local_batching.py

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean-data:
	rm -rf data

$(VENV)/.local: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[local]'
	touch $@

$(VENV)/.train: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,eval]'
	touch $@ $(VENV)/.local

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.local
