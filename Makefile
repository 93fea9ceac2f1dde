# Needs Python 3.10 or newer (the pinned versions: 3.11) with pip, and make.
# `make venv` builds .venv once, and again when the requirements change.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# The compiled ops; what could not be compiled leaves its reason there.
BUILT := mmvos/ops/lib/.built
DEMO := work_dirs/demo
DOCS := work_dirs/docs
# One thread per worker: the workers already use every core.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest -n auto --maxprocesses 8 --dist worksteal

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help venv demo docs lint test test-slow test-all clean

help:
	@echo 'make venv       make .venv with everything pinned'
	@echo 'make demo       evaluate the shipped weights on synthetic video, write $(DEMO)'
	@echo 'make docs       the documentation as a site, in $(DOCS)'
	@echo 'make lint       ruff and mypy'
	@echo 'make test       lint, then the fast tests'
	@echo 'make test-slow  the slow tests'
	@echo 'make test-all   lint, then every test'
	@echo 'make clean      remove caches, build leftovers and $(DEMO)'

venv: $(STAMP) $(BUILT)

# torch goes first: with it in place no other package can ask for its newest CUDA build.
$(STAMP): setup.py requirements/runtime.txt requirements/engine.txt requirements/crf.txt requirements/docs.txt requirements/tests.txt requirements/constraints.txt
	@echo 'installing PyTorch into $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install -q -c requirements/constraints.txt "$$(grep '^torch==' requirements/constraints.txt)"
	@echo 'installing MMEngine, mmcv, mmsegmentation and the rest ...'
	@$(RUN) -m pip install -q -c requirements/constraints.txt -r requirements/tests.txt -e '.[engine]'
	@touch $@ $(BUILT)

$(BUILT): build_ops.py $(wildcard mmvos/ops/csrc/*.h mmvos/ops/csrc/*/*) | $(STAMP)
	@echo 'compiling the matching ops ...'
	@$(RUN) build_ops.py
	@touch $@

demo: venv
	@mkdir -p $(DEMO)
	@$(RUN) tools/test.py configs/munet/munet_r18_synthetic.py munet_r18 --work-dir $(DEMO)/test
	@$(RUN) demo/render_synthetic.py $(DEMO)/input
	@$(RUN) demo/video_demo.py $(DEMO)/input/video.mp4 $(DEMO)/input/mask.png --out $(DEMO)
	@echo 'demo video: $(DEMO)/overlay.mp4, contact sheet: $(DEMO)/contact_sheet.png'

docs: venv
	@$(RUN) docs/build.py $(DOCS)
	@echo 'documentation: $(DOCS)/html/index.html'

lint: venv
	@$(RUN) -m ruff check -q .
	@$(RUN) -m mypy

test: lint
	@$(PYTEST) -m 'not slow'

# pytest exits with 5 when it finds no test: no slow test is no failure.
test-slow: venv
	@$(PYTEST) -m slow || [ $$? -eq 5 ]

test-all: lint
	@$(PYTEST)

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache mmvos/ops/lib $(DEMO)
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
