# The menu. Every target sets up what it needs; paths are relative, so the folder may have any name.
.DEFAULT_GOAL := help
.PHONY: help setup build demo test check fuzz bench install uninstall install-rock docs clean

# With an empty environment there is no PATH.
export PATH := $(or $(PATH),/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)

help:
	@echo 'make setup      install missing Debian packages (root or sudo)'
	@echo 'make build      set up and compile the engine into build/'
	@echo 'make demo       set up, build, simulate an ad exchange, train three models: about a minute'
	@echo 'make test       set up, build, run every test'
	@echo 'make check      luacheck, warnings, clang-tidy, sanitizers, faults, fuzz: half an hour'
	@echo 'make fuzz       one fuzz target: make fuzz TARGET=model SECONDS=60'
	@echo 'make bench      the table of speed, beside PyTorch and liblinear: make bench QUICK=1'
	@echo 'make install    library, header, Lua modules, models, command: make install PREFIX=/usr/local'
	@echo 'make uninstall  remove them again'
	@echo 'make install-rock  what Lua programs need of it; luarocks make calls it'
	@echo 'make docs       pages of the Lua modules, build/docs/index.html, and the C header beside them'
	@echo 'make clean      remove build/ and what the demo made'

setup:
	@sh tools/setup

build:
	@sh tools/build

demo: build
	@. tools/lua-path && luajit tools/demo.lua

test:
	@sh tools/test

check:
	@FUZZ_SECONDS='$(SECONDS)' sh tools/check

fuzz:
	@sh tools/fuzz '$(TARGET)' $(SECONDS)

# A peer that cannot be installed is left out of the table.
bench: build
	@sh tools/setup bench || true
	@. tools/lua-path && luajit bench/run.lua $(if $(QUICK),--quick)

# PREFIX, DESTDIR and the folders that tools/install names are handed on by make.
install: build
	@sh tools/install

uninstall:
	@sh tools/install remove

install-rock:
	@sh tools/install lua

docs:
	@sh tools/setup docs
	@. tools/lua-path && HOME="$${HOME:-/}" luajit "$$(command -v ldoc)" --fatalwarnings .
	@cp engine/include/moonrank.h build/docs

clean:
	rm -rf build data/adworld runs/demo
