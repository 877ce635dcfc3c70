# make demo      install what is missing, build, and show the main job in throw-away namespaces
# make test      install what the tests need, and pass them
# make test-system    the tests that need a booted machine: in a Debian 12 and a 13 of their own, with real systemd and sshd; as root
# make test-kernels   the tests that talk to the kernel, on the kernels of Debian 11, 12 and 13 in qemu
# make check     format, lints, dependencies, docs
# make deb       a package for Debian and Ubuntu
# make rpm       a package for Fedora, RHEL and others with RPM
# make dist      the source with all crates it needs, to be built without a network
# make reproducible   builds programs and packages twice, and compares them byte for byte
# make static    small programs that need no library, for appliances
# make appliance the image of a small firewall, tried out in qemu
# make install   copies what `make` has built; DESTDIR= for packagers

PREFIX  ?= /usr
UNITS   ?= $(PREFIX)/lib/systemd/system
DESTDIR ?=
CARGO   ?= cargo
TARGET   = $(or $(CARGO_TARGET_DIR),target)
BUILT    = $(TARGET)/release

.PHONY: all packaged deb rpm dist reproducible static-tools static appliance demo test test-system test-kernels check bench install clean

all:
	$(CARGO) build --release --locked

demo:
	scripts/install-tools demo
	$(CARGO) build --release --locked
	scripts/demo

# Real servers need real users: what is not run as root is built and unit-tested as the user, and the rest run with sudo.
test:
	scripts/install-tools test
	scripts/newer-nats
ifeq ($(shell id -u),0)
	$(CARGO) test --locked
else
	$(CARGO) test --locked --lib --bins
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --test it --config 'target."cfg(all())".runner = ["sudo", "-E"]'
endif

test-system:
	scripts/install-tools test-system
	scripts/install-tools deb
	scripts/install-tools rpm
	scripts/install-tools packaged
	$(CARGO) auditable build --locked
	scripts/test-dist
	MAKE="$(MAKE)" scripts/test-system
	MAKE="$(MAKE)" scripts/test-openrc

test-kernels:
	scripts/install-tools test-kernels
	CARGO="$(CARGO)" scripts/test-kernels

check:
	scripts/install-tools check
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features -- -D warnings # a build without fleets
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps
	$(CARGO) fetch --locked # also what other targets need: cargo-deny reads all of it
	$(CARGO) deny --offline check bans licenses sources
	scripts/check-units

bench:
	$(CARGO) bench --locked

install:
	@test -x $(BUILT)/kband -a -x $(BUILT)/banctl || { echo "make install: nothing is built in $(BUILT): run 'make' first, as yourself" >&2; exit 1; }
	install -Dm755 $(BUILT)/kband   $(DESTDIR)$(PREFIX)/sbin/kband
	install -Dm755 $(BUILT)/banctl  $(DESTDIR)$(PREFIX)/bin/banctl
	install -Dm644 docs/man/kband.8       $(DESTDIR)$(PREFIX)/share/man/man8/kband.8
	install -Dm644 docs/man/banctl.1      $(DESTDIR)$(PREFIX)/share/man/man1/banctl.1
	install -Dm644 docs/man/kban.toml.5   $(DESTDIR)$(PREFIX)/share/man/man5/kban.toml.5
	install -Dm644 docs/man/kban-filter.5 $(DESTDIR)$(PREFIX)/share/man/man5/kban-filter.5
	install -Dm644 packaging/completions/banctl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/banctl
	install -Dm644 packaging/completions/_banctl     $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions/_banctl
	install -Dm644 packaging/completions/banctl.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/banctl.fish
	install -Dm644 docs/kban.toml         $(DESTDIR)$(PREFIX)/share/doc/kban/kban.toml
	install -Dm644 docs/kban.schema.json  $(DESTDIR)$(PREFIX)/share/kban/kban.schema.json
	install -d $(DESTDIR)$(PREFIX)/share/kban/filter.d $(DESTDIR)/etc/kban/kban.d $(DESTDIR)/etc/kban/filter.d
	install -m644 src/filter/catalogue/*.toml $(DESTDIR)$(PREFIX)/share/kban/filter.d

	install -d $(DESTDIR)$(UNITS) $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/share/kban/systemd
	install -m644 systemd/kban.service systemd/kban-control.socket $(DESTDIR)$(UNITS)
	sed -i 's#^\(Exec[A-Za-z]*=\)/usr/#\1$(PREFIX)/#' $(DESTDIR)$(UNITS)/kban.service
	install -m644 systemd/sysusers.d/kban.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/kban.conf
	install -m644 systemd/drop-ins/*.conf $(DESTDIR)$(PREFIX)/share/kban/systemd

# What packages are made of: `make` with the list of the crates in it, and without a word of this machine.
packaged:
	scripts/install-tools packaged
	scripts/build-packaged --release
	scripts/sbom $(BUILT)/kband >$(BUILT)/kban.cdx.json

# Packages lie in target/debian and target/rpm.
deb: packaged
	scripts/install-tools deb
	SOURCE_DATE_EPOCH=$$(scripts/source-date) $(CARGO) deb --no-build --locked
	lintian --fail-on error,warning $(TARGET)/debian/kban_*.deb

rpm: packaged
	scripts/install-tools rpm
	mkdir -p $(TARGET)/rpm
	scripts/rpm $(BUILT) $(TARGET)/rpm

dist:
	scripts/dist

reproducible:
	scripts/install-tools packaged
	scripts/install-tools deb
	scripts/install-tools rpm
	scripts/reproducible

# Where there is no target for musl (rustup has one), glibc is bound in: larger, and host names are asked for by its own rules.
HOST    = $(shell rustc -vV | sed -n 's/^host: //p')
MUSL    = $(subst -gnu,-musl,$(HOST))
STATIC  = $(shell test -d "$$(rustc --print target-libdir --target $(MUSL))" && echo $(MUSL) || echo $(HOST))
# Nothing unwinds in this profile, so that no tables for it are needed: neither rustc's, nor those that libraries bring along. Addresses that
# depend on where the program is loaded are written down in one bit each. Of SQLite, what kban never asks for is left out.
SMALL    = -C target-feature=+crt-static -C force-unwind-tables=no -C link-arg=-Wl,-z,pack-relative-relocs \
	-C link-arg=-Wl,--no-eh-frame-hdr -C link-arg=-Wl,-T,packaging/appliance/no-unwinding.ld
SQLITE   = -USQLITE_ENABLE_FTS3 -USQLITE_ENABLE_FTS3_PARENTHESIS -USQLITE_ENABLE_FTS5 -USQLITE_ENABLE_RTREE -USQLITE_ENABLE_STAT4 \
	-USQLITE_ENABLE_DBSTAT_VTAB -USQLITE_SOUNDEX -USQLITE_ENABLE_LOAD_EXTENSION -DSQLITE_OMIT_LOAD_EXTENSION
static-tools:
	scripts/install-tools packaged
	scripts/install-tools static

static: static-tools
	CFLAGS="-Os -fno-asynchronous-unwind-tables" LIBSQLITE3_FLAGS="$(SQLITE)" RUSTFLAGS="$(SMALL)" \
		scripts/build-packaged --profile appliance --target $(STATIC)
	@ls -l $(TARGET)/$(STATIC)/appliance/kband $(TARGET)/$(STATIC)/appliance/banctl

appliance: static
	scripts/install-tools appliance
	scripts/appliance $(TARGET)/$(STATIC)/appliance

clean:
	$(CARGO) clean
