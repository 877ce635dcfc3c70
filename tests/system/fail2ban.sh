#!/bin/bash
# Runs inside a booted Debian: docs/coming-from-fail2ban.md, step by step, with fail2ban at work and somebody banned by it.
. /machine.bash

connect_client
cat >/etc/fail2ban/jail.local <<JAIL
[DEFAULT]
backend = systemd
banaction = nftables
bantime = 1h
findtime = 10m
maxretry = 3
ignoreip = 127.0.0.1/8 192.0.2.0/24

[sshd]
enabled = true
JAIL
systemctl enable --now fail2ban 2>/dev/null || fail "fail2ban does not start"
f2b_follows() { fail2ban-client status sshd; }
eventually "fail2ban runs" f2b_follows
guess 4
f2b_banned() { fail2ban-client status sshd | grep -q "Banned IP list:.*198.51.100.2"; }
eventually "fail2ban has banned an attacker" f2b_banned
eventually "its ban holds" not ssh_as alice secret true
apt-get install --yes --quiet "$(ls /packages/kban_*.deb | grep -v 0.0.1-1)" >/apt.log 2>&1 || { cat /apt.log; fail "kban is not installed"; }

echo "-- 1. see what kban makes of the jails"
# 1: there is something that it leaves out, and it says what.
banctl config import /etc/fail2ban --to /tmp/kban.toml || [ $? = 1 ] || fail "the import"
grep -q "maxretry = 3" /tmp/kban.toml && grep -q 192.0.2.0/24 /tmp/kban.toml || { cat /tmp/kban.toml; fail "jail.local is not in it"; }
echo "-- 2. try it"
banctl check --config /tmp/kban.toml || fail "the imported configuration is wrong"
journalctl --no-pager -o short-iso -u ssh >/var/log/auth.log
banctl replay /var/log/auth.log* --config /tmp/kban.toml >/tmp/replayed || { cat /tmp/replayed; fail "the replay"; }
grep -q 198.51.100.2 /tmp/replayed || { cat /tmp/replayed; fail "the replay bans nobody"; }
rm /var/log/auth.log
echo "-- 3. put it in place, carefully"
install -Dm644 /tmp/kban.toml /etc/kban/kban.toml
grep -q '^\[defaults\]' /etc/kban/kban.toml || fail "there is no [defaults] to write below"
sed -i '/^\[defaults\]/a mode = "observe"' /etc/kban/kban.toml
echo "-- 4. start kband, and look"
systemctl restart kban || fail "kban does not start with the imported configuration"
banctl || fail "banctl"
banctl doctor >/tmp/doctor && fail "the doctor finds nothing wrong, though fail2ban runs"
grep -q "neighbours.fail2ban" /tmp/doctor || { cat /tmp/doctor; fail "the doctor does not see fail2ban"; }
if grep -q "^fail  service.network" /tmp/doctor; then
    # What it says is to be done about it: fail2ban asks for the addresses of names.
    install -D -t /etc/systemd/system/kban.service.d /usr/share/kban/systemd/network.conf && systemctl daemon-reload && systemctl restart kban.service
fi
! banctl doctor | grep "^fail" || fail "the doctor's remedy does not help"
echo "-- 5. take over the bans, and stop fail2ban"
banctl config import /etc/fail2ban --bans || fail "the bans are not taken over"
banned 198.51.100.2 || fail "who was banned by fail2ban is not banned by kban"
systemctl disable --now fail2ban 2>/dev/null
nft list tables | grep -q f2b && nft list table inet f2b-table 2>/dev/null | grep -q 198.51.100.2 && fail "fail2ban's ban has stayed: the next line would prove nothing"
not ssh_as alice secret true || fail "the ban ended with fail2ban"
echo "-- 6. the real thing"
sed -i '/^mode = "observe"$/d' /etc/kban/kban.toml
banctl reload || fail "the reload"
banctl unban 198.51.100.2 || fail "unban"
eventually "the client is let in again" ssh_as alice secret true
guess 4
eventually "the same attack is banned by kban" banned 198.51.100.2
not ssh_as alice secret true || fail "the ban does not hold"
echo "all passed"
