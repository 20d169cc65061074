# Each target is one small script under scripts/. `make` alone tells what there is.
.DEFAULT_GOAL := help
.PHONY: help run test bench check build setup openapi reference clean

help:              ## Show this list
	@sed -n 's/^\([a-z]*\): *##/\1:  /p; s/^\([a-z]*\):  *## */\1:  /p' $(MAKEFILE_LIST) | sort -u | column -t -s:

run:               ## Install what is missing, build, start the server, deploy examples/hello and call it
	@scripts/run

build:             ## Build the development binary (target/debug/faas)
	@scripts/build

test:              ## Every check and test there is; what CI runs
	@scripts/test

check:             ## Format, lints, licences, files and crate edges; needs no server
	@scripts/check

bench:             ## Measure ours beside the peers and write docs/BENCHMARKS.md
	@scripts/bench

setup:             ## Install what building, testing and measuring need
	@scripts/setup all

openapi:           ## Write docs/openapi.json from the code
	@scripts/openapi

reference:         ## Write the commands in docs/cli.md from the code
	@scripts/reference

clean:             ## Remove everything that was built
	rm -rf target examples/*/vendor
