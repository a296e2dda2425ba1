# The same commands that CI and the README use.
# Full optimisation and the allocator for production, as in packages and images.
DIST = --profile dist --features jemalloc

.PHONY: run test lint deny fmt golden bench bench-probing soak picture

run: ## The demo, with nothing set up
	cargo run --release -- demo

test: ## Every test, with what they need installed
	tests/run

lint:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

deny: ## Licences, banned crates, sources and known advisories of all dependencies; wants cargo-deny
	cargo deny check

fmt:
	cargo fmt

bench: ## What scrapes, configurations and pages cost, as ratios within one run; writes docs/performance.md
	WRITE=1 cargo bench $(DIST) --bench exposition
	WRITE=1 cargo bench $(DIST) --bench loading
	cargo bench $(DIST) --bench page

bench-probing: ## What a probe costs, beside wrk and blackbox_exporter (Debian: nginx-light wrk prometheus-blackbox-exporter)
	cargo build $(DIST)
	python3 benches/probing.py

soak: ## Ten minutes at 100,000 accounts: does memory stay flat?
	cargo build $(DIST)
	python3 benches/soak.py

golden: ## Accept what people read as it is now; look at the difference before committing it
	UPDATE_GOLDEN=1 cargo test

picture: ## The picture in the README, from the real page; what drives the browser comes with tests/run
	tests/browser/picture
