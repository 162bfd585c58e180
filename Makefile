PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
OUT ?= demo-output
SAMPLE = $(OUT)/liver-sample.ome.tif
# A real window on a virtual screen where there is no screen (macOS always has one).
SCREEN = $(if $(DISPLAY)$(filter Darwin,$(shell uname)),,xvfb-run -a -s "-screen 0 1600x1000x24")
# One worker for each processor, with one thread and one virtual screen of its own.
TESTS = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadgroup

.PHONY: demo test test-fast fuzz coverage check audit bench memory soak kill screenshots clean

$(VENV)/.demo: pyproject.toml
	@bash scripts/system_packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[gui]'
	@touch $@

$(VENV)/.test: pyproject.toml
	@bash scripts/system_packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[test]'
	@touch $@ $(VENV)/.demo

## Analyze the sample slide, write the report, open napari where there is a screen.
demo: $(VENV)/.demo
	$(BIN)/liverdx slide sample $(SAMPLE)
	$(BIN)/liverdx analyze $(SAMPLE) --out $(OUT)
	$(if $(DISPLAY)$(WAYLAND_DISPLAY),$(BIN)/napari --plugin napari-liverdx $(SAMPLE) --with napari-liverdx "Analyze slide",\
	  @echo "No screen here: open the report in a browser, or run this where there is one.")

## Style, spelling, types, layers, dependencies, manifests.
check: $(VENV)/.test
	$(BIN)/ruff check src tests scripts benchmarks
	$(BIN)/ruff format --check src tests scripts benchmarks
	$(BIN)/typos
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/npe2 validate src/napari_liverdx/napari.yaml
	$(BIN)/python scripts/audit.py --tell

## Known weaknesses of what is installed; check names them where there is a network, this fails for them.
audit: $(VENV)/.test
	$(BIN)/python scripts/audit.py --must

## Everything that must hold.
test: check
	$(TESTS) $(PYTEST)

## The inner loop: no window, no training.
test-fast: $(VENV)/.test
	QT_QPA_PLATFORM=offscreen $(TESTS) -m "not gui and not slow" $(PYTEST)

## Bad bytes: COUNT damaged files of every kind from SEED; what came to a bad end is kept in fuzz-failures.
COUNT ?= 10000
SEED ?= 0
fuzz: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz --count $(COUNT) --seed $(SEED) --sound --workers 2 --keep fuzz-failures

## Which lines and branches the tests run.
coverage: $(VENV)/.test
	$(TESTS) --cov --cov-report=term --cov-report=html --timeout=900 $(PYTEST)

## Speed, as ratios against a peer in the same run.
bench: $(VENV)/.test
	$(BIN)/python benchmarks/bench.py

## Peak memory of each job on a slide of 100,000 × 100,000 pixels.
memory: $(VENV)/.test
	$(BIN)/python -m benchmarks.memory

## Two hundred slides in a batch and a hundred analyses that are cancelled: memory must not grow.
soak: $(VENV)/.test
	OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen $(BIN)/python -m benchmarks.soak

## Fifty kills of runs, batches, trainings, fine-tunings and exports, and torn files; each must recover.
kill: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m benchmarks.reliability

## The pictures in docs/images.
screenshots: $(VENV)/.test
	LIBGL_ALWAYS_SOFTWARE=1 $(SCREEN) $(BIN)/python scripts/screenshots.py

clean:
	rm -rf $(VENV) $(OUT) build dist htmlcov fuzz-failures .coverage*
