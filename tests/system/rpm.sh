#!/bin/bash
# Runs inside a booted Debian: the package for RPM, from the first installation to the removal. No distribution with RPM can be had
# here, so this is RPM itself on somebody else's systemd: files, owners, modes and scripts are judged; that the dependencies
# have the right names is not known to this machine, and they are compared with what is known of RHEL 9.
. /machine.bash

old=$(ls /packages/kban-0.0.1-1.*.rpm)
new=$(ls /packages/kban-*.rpm | grep -v 0.0.1-1)
# Debian's rpm refuses to be the one that installs; its database knows nothing of what is installed here.
rpm_does() { rpm --force-debian --nodeps "$@" >/rpm.log 2>&1 || { cat /rpm.log; fail "rpm $*"; }; grep -v "^Creating" /rpm.log && fail "rpm $* says that"; true; }
property() { systemctl show --property="$1" --value kban; }

echo "-- what is in it"
rpm -qp --queryformat '[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEMODES:octal} %{FILENAMES}\n]' "$new" >/files
# Only programs may be run, all is root's, nobody else writes.
grep -v -E '^root:root 100644 /(etc|usr)/|^root:root 100755 /usr/(bin/banctl|sbin/kband)$' /files && fail "the above have wrong owners, modes or places"
# The same files as in Debian's package, in RPM's places.
sed -n 's#^root:root 100... ##p' /files | grep -v -e LICENSE -e CHANGELOG.md | sort >/files.rpm
dpkg-deb --fsys-tarfile /packages/kban_0.0.1-1.deb | tar -t | sed 's#^\./#/#' | grep -v -e '/$' -e /copyright -e changelog.Debian |
    sed 's#zsh/vendor-completions#zsh/site-functions#; s#doc/kban/examples/#doc/kban/#; s#\(README.md\|kban.cdx.json\|kban.toml\).gz$#\1#' | sort >/files.deb
diff /files.deb /files.rpm || fail "Debian's package (<) and RPM's (>) differ"
rpm -qp --configfiles "$new" | grep . && fail "it brings configuration, which is the administrator's"
rpm -qp --requires "$new" | grep -v -x -E '/bin/sh|systemd|rpmlib\(.*|lib(c|m|gcc_s|pthread|dl|rt)\.so\.[0-9]+\(.*|ld-linux-.*|rtld\(GNU_HASH\)' && fail "the above are not known in RHEL"
newest=$(rpm -qp --requires "$new" | sed -n 's/.*(GLIBC_\([0-9.]*\)).*/\1/p' | sort -V | tail -n 1)
echo "$newest 2.34" | tr ' ' '\n' | sort -V -C || echo "NOTE: built here it needs glibc $newest; RHEL 9 has 2.34"
for key in NAME LICENSE SUMMARY DESCRIPTION; do rpm -qp --queryformat "%{$key}" "$new" | grep -q . || fail "it has no $key"; done

echo "-- installed, nothing is started or enabled: the preset says so, as Fedora's and RHEL's do"
mkdir -p /etc/systemd/system-preset
echo "disable *" >/etc/systemd/system-preset/00-as-fedora.preset
systemctl disable --quiet fail2ban
rpm_does --install "$old"
getent passwd kban >/dev/null || fail "there is no user kban"
[ "$(stat -c %U:%G:%a /var/lib/kban)" = kban:kban:750 ] || fail "/var/lib/kban is $(stat -c %U:%G:%a /var/lib/kban)"
[ "$(systemctl is-enabled kban)" = disabled ] || fail "it is enabled"
not systemctl is-active --quiet kban || fail "it runs"
rpm -V --nodeps kban || fail "rpm -V: the above is not as it was packed"
connect_client
mkdir -p /etc/kban
printf '[jail.sshd]\nenabled = true\nmaxretry = 3\nbantime = "1h"\n' >/etc/kban/kban.toml
systemctl enable --quiet --now kban
eventually "started, it runs" systemctl is-active kban
banctl doctor >/doctor.log || { cat /doctor.log; fail "banctl doctor has something to say of a fresh installation"; }
follows() { [ "$(status "s['sources'][0]['state']")" = following ]; }
eventually "it follows the journal" follows
attack 203.0.113.20
eventually "who attacks is banned" banned 203.0.113.20
since() { banctl --json list 203.0.113.20 | python3 -c "import json,sys; print(json.load(sys.stdin)['bans'][0]['since'])"; }
banned_since=$(since)

echo "-- upgrade"
pid=$(property MainPID)
rpm_does --upgrade "$new"
[ "$(rpm -q --queryformat '%{VERSION}' kban)" != 0.0.1 ] || fail "it is the old version"
other_pid() { [ "$(property MainPID)" != "$pid" ] && [ "$(systemctl is-active kban)" = active ]; }
other_pid || fail "the new version does not run"
[ "$(systemctl is-enabled kban)" = enabled ] || fail "the upgrade has disabled it"
[ "$(since)" = "$banned_since" ] || fail "the ban begins at $(since), and was made at $banned_since"
grep -q 1h /etc/kban/kban.toml || fail "the configuration is another"
systemctl stop kban
systemctl enable --quiet --now kban-control.socket
banctl list | grep -q "^203.0.113.20 " || fail "asking kban-control.socket does not start kband"

echo "-- removed, it leaves what the administrator made, and no ban"
rpm_does --erase kban
not systemctl is-active --quiet kban || fail "it still runs"
[ -e /etc/kban/kban.toml ] && [ -e /var/lib/kban ] || fail "settings or memory are gone"
nft list tables | grep -q kban && fail "its table is left"
find /usr /etc/systemd -name '*kban*' | grep . && fail "the above is left"
systemctl list-units --all --no-legend 'kban*' | grep -v not-found | grep . && fail "systemd still knows it"
echo "all passed"
