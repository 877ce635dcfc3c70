# make demo      install what is missing, build, and show the main job in throw-away namespaces
# make test      install what the tests need, and pass them
# make check     format, lints, dependencies, docs
# make install   DESTDIR= for packagers

PREFIX  ?= /usr
DESTDIR ?=
CARGO   ?= cargo

.PHONY: all demo test check bench install clean

all:
	$(CARGO) build --release --locked

demo:
	scripts/install-tools demo
	$(CARGO) build --release --locked
	scripts/demo

test:
	scripts/install-tools test
	$(CARGO) test --locked

check:
	scripts/install-tools check
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	$(CARGO) deny --offline check bans licenses sources

bench:
	$(CARGO) bench --locked

install: all
	install -Dm755 target/release/kband   $(DESTDIR)$(PREFIX)/sbin/kband
	install -Dm755 target/release/banctl  $(DESTDIR)$(PREFIX)/bin/banctl
	install -Dm644 docs/man/kband.8       $(DESTDIR)$(PREFIX)/share/man/man8/kband.8
	install -Dm644 docs/man/banctl.1      $(DESTDIR)$(PREFIX)/share/man/man1/banctl.1
	install -Dm644 docs/man/kban.toml.5   $(DESTDIR)$(PREFIX)/share/man/man5/kban.toml.5
	install -Dm644 docs/kban.toml         $(DESTDIR)$(PREFIX)/share/doc/kban/kban.toml
	install -d $(DESTDIR)$(PREFIX)/share/kban/filter.d $(DESTDIR)/etc/kban/kban.d $(DESTDIR)/etc/kban/filter.d
	install -m644 src/filter/catalogue/*.toml $(DESTDIR)$(PREFIX)/share/kban/filter.d

clean:
	$(CARGO) clean
