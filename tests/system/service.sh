#!/bin/bash
# Runs inside a booted Debian: the life of the package, from the first installation to the purge, with somebody banned who
# never stops knocking.
. /machine.bash

old=$(ls /packages/kban_0.0.1-1.deb)
new=$(ls /packages/kban_*.deb | grep -v 0.0.1-1)
install_package() { DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet "$1" >/apt.log 2>&1 || { cat /apt.log; fail "$1 is not installed"; }; }
property() { systemctl show --property="$1" --value kban; }
said() { journalctl -b --no-pager -u kban | grep -q "$1"; }

# What there is on the disk, and who: to be compared when everything is gone again.
inventory() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/tmp -o -path /var/log -o -path /var/cache \
        -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd/timers -o -path /home -o -path '/inventory.*' \) -prune -o -print | sort
    find /run -name '*kban*'
    # sysusers leaves the copies behind: passwd-, group-.
    cat /etc/passwd /etc/group
    cut -d: -f1 /etc/shadow /etc/gshadow
}

# The client sends a packet every 20 ms. Each that comes through is a line in /run/door.
cat >/run/door.py <<DOOR
import socket
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.bind(("198.51.100.1", 4000))
with open("/run/door", "a", buffering=1) as file:
    while True:
        door.recv(100)
        file.write("knock\n")
DOOR
cat >/run/knock.py <<KNOCK
import socket, time
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    client.sendto(b"knock", ("198.51.100.1", 4000))
    time.sleep(0.02)
KNOCK
heard() { wc -l </run/door; }
hears_more() { [ "$(heard)" -gt "$1" ]; }
silent() { # nothing for half a second
    quiet=$(heard)
    sleep 0.5
    [ "$(heard)" = "$quiet" ]
}
held() { # held WHILE: nothing has come through since silent
    [ "$(heard)" = "$quiet" ] || fail "$(($(heard) - quiet)) packets of a banned host came through during $1"
    echo "ok: the ban held during $1"
}

connect_client
systemctl start nftables
mkdir -p /etc/systemd/system/sockets.target.wants
touch /run/door /apt.log /askpass /var/lib/systemd/random-seed
python3 /run/door.py &
door=$!
ip netns exec client python3 /run/knock.py &
knock=$!
trap 'kill $door $knock' EXIT
eventually "a client is heard" hears_more 0
inventory >/inventory.before

echo "-- installed, it runs"
install_package "$old"
[ "$(systemctl is-active kban)" = active ] || fail "the service does not run"
[ "$(systemctl is-enabled kban)" = enabled ] || fail "the service is not enabled"
systemctl start kban || fail "systemctl start kban"
[ "$(property NotifyAccess)" = main ] && [ "$(property Type)" = notify ] || fail "it is no service of Type=notify"
[ "$(ps -o user= -p "$(property MainPID)")" = kban ] || fail "it runs as $(ps -o user= -p "$(property MainPID)")"
[ "$(sed -n 's/^CapEff:\t*//p' "/proc/$(property MainPID)/status")" = 0000000000001000 ] || fail "it can do more than CAP_NET_ADMIN"
systemd-analyze security --no-pager --threshold=12 kban.service >/dev/null || fail "it is exposed: $(systemd-analyze security --no-pager kban.service | tail -1)"
banctl doctor || fail "banctl doctor has something to say of a fresh installation"

echo "-- an attack over the network is banned"
follows() { [ "$(status "s['sources'][0]['state']")" = following ]; }
eventually "it follows the journal" follows
guess 5
eventually "wrong passwords lead to the ban" banned 198.51.100.2
eventually "nothing comes through" silent
since() { banctl --json list 198.51.100.2 | python3 -c "import json,sys; print(json.load(sys.stdin)['bans'][0]['since'])"; }
banned_since=$(since)
same_ban() { [ "$(since)" = "$banned_since" ]; }

echo "-- reload"
mkdir -p /etc/kban
printf '[jail.sshd]\nenabled = true\nmaxretry = 3\nbantime = "1h"\n' >/etc/kban/kban.toml
pid=$(property MainPID)
systemctl reload kban || fail "systemctl reload kban"
[ "$(property MainPID)" = "$pid" ] || fail "a reload has started it anew"
banctl config show --origin | grep -q 'maxretry.*3' || fail "the reload read nothing"
echo 'bantme = "1h"' >>/etc/kban/kban.toml
systemctl reload kban && fail "a wrong file is reloaded"
journalctl -b --no-pager -u kban | grep -q "bantme" || fail "what is wrong with the file is not in the journal"
[ "$(systemctl is-active kban)" = active ] || fail "a wrong file ends the service"
sed -i '$d' /etc/kban/kban.toml
systemctl log-level debug
systemctl kill --signal=HUP --kill-whom=main kban
told() { journalctl -b --no-pager | grep -q "kban.service: Got notification message.*$1"; }
eventually "SIGHUP: RELOADING is told with its time" told "RELOADING=1.*MONOTONIC_USEC="
eventually "and READY" told "READY=1"
systemctl log-level info
eventually "and then it is active" [ "$(systemctl is-active kban)" = active ]
held "reloads"

echo "-- frozen, it is killed by the watchdog, and what came meanwhile is read"
mkdir -p /etc/systemd/system/kban.service.d
printf '[Service]\nWatchdogSec=3s\nTimeoutAbortSec=1s\n' >/etc/systemd/system/kban.service.d/watchdog.conf
systemctl daemon-reload
systemctl restart kban
pid=$(property MainPID)
systemctl kill --signal=STOP --kill-whom=main kban
attack 203.0.113.20
other_pid() { [ "$(property MainPID)" != "$pid" ] && [ "$(systemctl is-active kban)" = active ]; }
eventually "the watchdog starts it anew" other_pid
said "Watchdog timeout" || fail "it was something else than the watchdog"
eventually "who attacked meanwhile is banned" banned 203.0.113.20
same_ban || fail "the ban begins at $(since), and was made at $banned_since"
held "a restart and a watchdog's kill"
rm -r /etc/systemd/system/kban.service.d
systemctl daemon-reload

echo "-- killed again and again"
for n in 1 2 3; do
    pid=$(property MainPID)
    systemctl kill --signal=KILL --kill-whom=main kban
    eventually "it is back" other_pid
done
held "three crashes"

echo "-- systemctl restart nftables"
grep -q "flush ruleset" /etc/nftables.conf || fail "Debian's nftables.conf flushes nothing: this tests nothing"
systemctl restart nftables
in_kernel() { banctl list --kernel | grep -q "198.51.100.2"; }
if nft list table inet kban | grep -q "flags owner"; then
    held "a flush, in a table of its own"
else
    eventually "the ban is in the kernel again" in_kernel
    eventually "nothing comes through" silent
    said "nft" || fail "nobody tells who flushed"
fi
attack 203.0.113.21
eventually "and bans are made as before" banned 203.0.113.21

echo "-- upgrade"
pid=$(property MainPID)
install_package "$new"
[ "$(dpkg-query -W -f '${Version}' kban)" != 0.0.1-1 ] || fail "it is the old version"
other_pid || fail "the new version does not run"
same_ban || fail "the ban begins at $(since), and was made at $banned_since"
[ "$(cat /etc/kban/kban.toml)" = "$(printf '[jail.sshd]\nenabled = true\nmaxretry = 3\nbantime = "1h"')" ] || fail "the configuration is another"
held "the upgrade"

echo "-- started by its socket, if somebody wants that"
[ "$(systemctl is-enabled kban-control.socket)" = disabled ] && not systemctl is-active --quiet kban-control.socket || fail "the socket is there unasked"
systemctl stop kban
held "the time without kband"
systemctl enable --now --quiet kban-control.socket || fail "kban-control.socket"
banctl list | grep -q "^198.51.100.2 " || fail "asking kban-control.socket does not start kband"
held "a start by the socket"

echo "-- remove keeps what was set and remembered; purge leaves nothing"
usermod --append --groups kban alice
apt-get remove --yes kban >/apt.log 2>&1 || { cat /apt.log; fail "apt-get remove"; }
not systemctl is-active --quiet kban || fail "it still runs"
[ -e /etc/kban/kban.toml ] && [ -e /var/lib/kban ] || fail "remove has taken settings or memory away"
nft list tables | grep -q kban && fail "its table is left"
eventually "everybody is let in again" hears_more "$quiet"
apt-get purge --yes kban >/apt.log 2>&1 || { cat /apt.log; fail "apt-get purge"; }
systemctl daemon-reload
inventory >/inventory.after
diff /inventory.before /inventory.after || fail "purge has left the above (>), or taken it away (<)"
systemctl list-units --all --no-legend 'kban*' | grep -v not-found | grep . && fail "systemd still knows it"
echo "all passed"
