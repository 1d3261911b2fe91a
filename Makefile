# A few words over CMake. `make run` and `make test` set up and build by themselves.
PROMPT ?= smiling cat with heart-eyes
MODEL ?=
CUDA ?= auto
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local

.PHONY: all setup test test-threads test-serve test-page test-python bench run model install format clean

all: build/.built

setup:
	tools/setup

build/.built: FORCE
	@tools/setup --quiet build
	@cmake --preset release -DSUMI_CUDA=$(CUDA) >/dev/null
	@cmake --build build -j $(JOBS)

.PHONY: FORCE
FORCE:

# Two tests at a time: many take one thread, and those that take all share the CPUs. The sanitizers' builds do without
# the GPU's kernels: nothing that runs there loads them.
test:
	@tools/setup --quiet test
	cmake --preset release -DSUMI_TESTS=ON -DSUMI_CUDA=$(CUDA)
	cmake --build build -j $(JOBS)
	ctest --test-dir build -j 2 --output-on-failure
	cmake --preset sanitize -DSUMI_TESTS=ON -DSUMI_CUDA=OFF
	cmake --build build-sanitize -j $(JOBS)
	ctest --test-dir build-sanitize -j 2 -L unit --output-on-failure

# Several threads at once, under the thread sanitizer. tests/thread.supp says what it is not to report, and why.
test-threads:
	@tools/setup --quiet test
	cmake --preset thread -DSUMI_TESTS=ON -DSUMI_CUDA=OFF
	cmake --build build-thread -j $(JOBS)
	TSAN_OPTIONS="suppressions=$(CURDIR)/tests/thread.supp" ctest --test-dir build-thread --output-on-failure \
		-R '^test_(threads|concurrent|sessions|plan|stream|train_diffusion)$$'

# `sumi serve` and the whole library under the sanitizers: what clients send, well and badly, and 200 requests at a time.
test-serve:
	@tools/setup --quiet test
	for preset in sanitize thread; do \
		cmake --preset $$preset -DSUMI_CUDA=OFF && cmake --build build-$$preset -j $(JOBS) --target sumi || exit 1; \
		export ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16 DNNL_MAX_CPU_ISA=AVX512_CORE_BF16 \
			TSAN_OPTIONS="suppressions=$(CURDIR)/tests/thread.supp"; \
		for test in serve serve_lists; do \
			sh tests/cli/test_$$test.sh $(CURDIR)/build-$$preset/sumi $(CURDIR)/tests/golden || exit 1; \
		done; \
		python3 -B tests/server/load.py build-$$preset/sumi || exit 1; \
	done

# The page of `sumi serve` in a browser, which this installs; axe-core, from a package that holds it, looks at it too.
AXE = build/axe/axe_playwright_python/axe.min.js
test-page: all
	@tools/setup --quiet page
	@test -f $(AXE) || python3 -m pip install --quiet --no-deps --target build/axe axe-playwright-python
	AXE=$(CURDIR)/$(AXE) sh tests/cli/test_page.sh $(CURDIR)/build/sumi -

# The Python package as users have it: a wheel, built and installed into a new environment, which has all that its tests
# want (mypy, Pillow, NumPy) from the package index.
test-python: all
	@tools/setup --quiet test
	python3 -m venv --clear build/python-env
	build/python-env/bin/pip install -q pytest mypy numpy pillow ./python
	SUMI_PROGRAM=$(CURDIR)/build/sumi build/python-env/bin/python python/tests/run.py

run: all
	@build/sumi generate $(if $(MODEL),-m "$(MODEL)") -p "$(PROMPT)" $(ARGS)

# The model that ships with Sumi, from nothing: hours; goes on where it was stopped.
model:
	@tools/setup --quiet model
	@$(MAKE) all
	models/recipe.sh

bench: all
	bench/run

install: all
	cmake --install build --prefix "$(PREFIX)"

format:
	clang-format -i $$(git ls-files '*.c' '*.h' '*.cpp' '*.cu' '*.cuh')

clean:
	rm -rf build build-sanitize build-debug build-double build-thread
