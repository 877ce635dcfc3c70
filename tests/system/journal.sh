#!/bin/bash
# Runs inside a booted Debian: real journald, real sshd, kban as its unit has it.
. /machine.bash

source_of() { echo "[row for row in s['sources'] if '$1' in row['path']][0]"; }

printf '[Journal]\nRateLimitIntervalSec=0\nRateLimitBurst=0\n' >/etc/systemd/journald.conf
systemctl restart systemd-journald
systemd-sysusers
connect_client

echo "-- without any configuration, sshd is protected from the journal"
systemctl start kban
eventually "kban runs" systemctl is-active kban
path=$(status "s['sources'][0]['path']")
case $path in "journal "*"_SYSTEMD_UNIT=ssh.service"*) ;; *) fail "it reads $path" ;; esac
follows() { [ "$(status "$(source_of journal)['state']")" = following ]; }
eventually "it follows" follows
one_child() { [ "$(pgrep -c -x journalctl)" = 1 ] && pgrep -x -a journalctl | grep -q -- --follow; }
eventually "by one journalctl" one_child
eventually "one login succeeds" ssh_as alice secret true
guess 5
eventually "wrong passwords over the network lead to the ban" banned 198.51.100.2
banctl why 198.51.100.2 | grep -q "Failed password for root from 198.51.100.2" || fail "why shows no line"
banctl unban 198.51.100.2

echo "-- what the service did not write bans nobody"
cat >/etc/kban/kban.toml <<CONFIG
[defaults]
bantime = "1h"
maxretry = 3
[jail.sshd]
enabled = true
[jail.forged]
enabled = true
filter = "sshd"
journalmatch = "_COMM=sshd + SYSLOG_IDENTIFIER=sshd"
CONFIG
banctl reload || fail "the configuration is refused"
banctl check | grep -q "any local user can write" || banctl check 2>&1 | grep -q "any local user can write" || fail "no warning"
eventually "two jails have one journalctl" one_child
cp /usr/bin/logger /home/alice/sshd
chmod 755 /home/alice/sshd
for n in 1 2 3 4 5; do
    runuser -u alice -- logger -t sshd "$(says 203.0.113.11)"
    runuser -u alice -- /home/alice/sshd -t sshd "$(says 203.0.113.12)"
    as_sshd runuser -u alice -- logger -t sshd "$(says 203.0.113.13)"
    as_sshd runuser -u alice -- /home/alice/sshd -t sshd "$(says 203.0.113.14)"
done
# Since OpenSSH 9.8, sshd itself hears nobody for some time who has guessed (PerSourcePenalties).
eventually "alice logs in" ssh_as alice secret 'for n in 1 2 3 4 5; do logger -t sshd "Failed password for root from 203.0.113.15 port 22 ssh2"; done'
# journald writes one after the other: what comes now comes behind all that.
attack 203.0.113.99
eventually "what the service wrote does ban" banned 203.0.113.99
for forged in 11 12 13 14 15; do banned 203.0.113.$forged && fail "203.0.113.$forged is banned"; done
untrusted=$(status "$(source_of SYSTEMD_UNIT)['untrusted']")
# Of a process that is gone already, journald does not find out the unit any more.
[ "$untrusted" -ge 1 ] && [ "$untrusted" -le 10 ] || fail "of ten forged entries of the unit, $untrusted were noticed"
noticed() { [ "$(status "$(source_of SYSLOG_IDENTIFIER)['untrusted']")" -ge "$1" ]; }
eventually "the other jail has noticed them" noticed 20
banctl status | grep -q "does a local user forge them" || fail "status does not tell"

echo "-- rotation, vacuum and a new journald under load lose nothing"
cat >/burst.py <<BURST
import socket, sys, time
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.connect("/run/systemd/journal/socket")
for n in range(int(sys.argv[1])):
    text = sys.argv[2].replace("%d", str(n % 200 + 1))
    entry = b"MESSAGE=%s\nSYSLOG_IDENTIFIER=sshd\nPRIORITY=6\n" % text.encode()
    while True:
        try:
            journal.send(entry)
            break
        except OSError:
            time.sleep(0.01)
            journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                journal.connect("/run/systemd/journal/socket")
            except OSError:
                pass
    if len(sys.argv) > 3 and n % 10 == 9:
        time.sleep(float(sys.argv[3]))
BURST
before=$(status "$(source_of SYSTEMD_UNIT)['lines']")
started=$(date +%s.%N)
as_sshd python3 /burst.py 60000 "Connection closed by 192.0.2.%d port 22" 0.001 &
writer=$!
rotations=0
while kill -0 $writer 2>/dev/null; do
    journalctl --rotate --quiet
    journalctl --vacuum-files=15 --quiet 2>/dev/null
    rotations=$((rotations + 1))
    [ $rotations != 8 ] || systemctl restart systemd-journald
    sleep 0.4
done
wait $writer
echo "written after $(python3 -c "import time; print(round(time.time() - $started, 1))") s, $rotations rotations"
lines_are() { [ "$(status "$(source_of SYSTEMD_UNIT)['lines']")" = "$1" ]; }
eventually "every entry was read once" lines_are $((before + 60000))
echo "read after $(python3 -c "import time; print(round(time.time() - $started, 1))") s"
[ $rotations -ge 8 ] || fail "only $rotations rotations"
[ "$(status "$(source_of SYSTEMD_UNIT)['gaps']")" = 0 ] || fail "there was a gap"

echo "-- restarts and crashes in the middle of a burst: none lost, none twice"
# Who fails twice is not banned, unless one is counted twice; who fails three times is, unless one is lost.
# One process: of one that is gone already, journald may not find out the unit.
cat >/pairs.py <<PAIRS
import socket, time
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.connect("/run/systemd/journal/socket")
for turn in range(3):
    for host in range(1, 101):
        for network in ["198.18.1", "198.19.1"][turn == 2:]:
            text = f"Failed password for root from {network}.{host} port 22 ssh2"
            journal.send(f"MESSAGE={text}\nSYSLOG_IDENTIFIER=sshd\nPRIORITY=6\n".encode())
            time.sleep(0.04)
time.sleep(5)
PAIRS
as_sshd python3 /pairs.py &
writer=$!
for turn in 1 2 3; do
    sleep 1.5
    systemctl restart kban
    sleep 1.5
    systemctl kill --signal=KILL --kill-whom=main kban
    eventually "kban is back" systemctl is-active kban
done
wait $writer
by_sshd() { # by_sshd NETWORK: how many of it the jail sshd has banned
    banctl --json list | python3 -c "import json,sys; print(sum(ban['jail'] == 'sshd' and ban['address'].startswith('$1') for ban in json.load(sys.stdin)['bans']))"
}
all_banned() { [ "$(by_sshd 198.19.1.)" = 100 ]; }
eventually "nobody was missed" all_banned
[ "$(by_sshd 198.18.1.)" = 0 ] || fail "$(by_sshd 198.18.1.) were counted twice"

echo "-- no journalctl is left behind"
systemctl stop kban
eventually "it ends with kband" not pgrep -x journalctl
/usr/sbin/kband --state-dir /tmp/state --runtime-dir /tmp/run &
kband=$!
eventually "kband has one" one_child
kill -9 $kband
wait $kband || true
eventually "it ends with a kband that was killed" not pgrep -x journalctl

echo "-- a cursor that is gone is told, and reading goes on"
for n in 1 2; do as_sshd logger -t sshd "$(says 203.0.113.50)"; done
journalctl --rotate --quiet
journalctl --vacuum-files=1 --quiet
systemctl start kban
gap() { [ "$(status "$(source_of SYSTEMD_UNIT)['gaps']")" = 1 ]; }
eventually "the gap is counted" gap
attack 203.0.113.51
eventually "reading goes on" banned 203.0.113.51
echo "all passed"
