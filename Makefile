# The commands that CI and the README use.
# Full optimisation and the allocator for production, as in packages and images.
DIST = --profile dist --features jemalloc

# What prints completions and writes manual pages; packages name the program that they contain.
PROGRAM = cargo run --quiet --release --

.PHONY: run test lint deny fmt golden bench bench-probing bench-reports soak picture man completions crate

run: ## Run the demo; nothing to set up
	cargo run --release -- demo

test: ## Install what the tests need, and run all tests
	tests/run

lint:
	git ls-files -z '*.rs' | xargs -0 rustfmt --check
	cargo clippy --all-targets -- -D warnings

deny: ## Check licences, sources and known advisories of all dependencies; needs cargo-deny
	cargo deny check

fmt: ## Every file: `cargo fmt` does not find the networks' modules
	git ls-files -z '*.rs' | xargs -0 rustfmt

bench: ## Measure scrapes, configurations and pages; writes docs/performance.md
	WRITE=1 cargo bench $(DIST) --bench exposition
	WRITE=1 cargo bench $(DIST) --bench loading
	cargo bench $(DIST) --bench page

bench-probing: ## Compare a probe with wrk and blackbox_exporter (Debian: nginx-light wrk prometheus-blackbox-exporter)
	cargo build $(DIST)
	python3 benches/probing.py

bench-reports: ## Send 5,000 reports a second for a minute, while all accounts are probed and scraped
	cargo build $(DIST)
	python3 benches/reports.py

soak: ## Run ten minutes with 100,000 accounts and check that memory stays flat
	cargo build $(DIST)
	python3 benches/soak.py

golden: ## Write the golden files anew; review the difference before you commit it
	UPDATE_GOLDEN=1 cargo test

man: ## Write the manual pages to target/man
	$(PROGRAM) man target/man

completions: ## Write completions for bash, zsh and fish to target/completions
	mkdir -p target/completions
	$(PROGRAM) completions bash > target/completions/token_exporter.bash
	$(PROGRAM) completions zsh > target/completions/_token_exporter
	$(PROGRAM) completions fish > target/completions/token_exporter.fish

# In a folder of its own, because Cargo would take what it builds for builds of this clone.
crate: ## Build the crate as crates.io gets it, without publishing it
	cargo publish --dry-run --target-dir target/crate

picture: ## Take the README's picture of the status page; tests/run installs the browser
	tests/browser/picture
