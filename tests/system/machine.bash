# What the tests of a booted machine begin with: how they judge, and a client at the other end of a cable.
set -eu

fail() { echo "FAILED: $*"; banctl status || true; exit 1; }
not() { ! "$@"; }
eventually() { # eventually WHAT COMMAND...: it may take a while on a busy machine
    local what=$1 tries=0
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || fail "$what"
        sleep 0.1
    done
    echo "ok: $what"
}
status() { banctl --json status | python3 -c "import json,sys; s=json.load(sys.stdin); print($1)"; }
banned() { banctl list | grep -q "^$1 "; }
says() { echo "Failed password for root from $1 port 22 ssh2"; }
# A process of the service: it is in its control group.
as_sshd() { sh -c 'echo $$ >/sys/fs/cgroup/system.slice/ssh.service/cgroup.procs; exec "$@"' sh "$@"; }
attack() { # attack ADDRESS: sshd says three times that it failed. The process stays: of one that is gone, journald may not find out the unit
    { for n in 1 2 3; do says "$1"; done; sleep 1; } | as_sshd logger -t sshd
}

# sshd at 198.51.100.1, a user, and a client at 198.51.100.2 in a network namespace of its own.
connect_client() {
    useradd --create-home --shell /bin/bash alice
    echo alice:secret | chpasswd
    ip netns add client
    ip link add server type veth peer name wire netns client
    ip addr add 198.51.100.1/24 dev server
    ip link set server up
    ip -n client addr add 198.51.100.2/24 dev wire
    ip -n client link set wire up
    systemctl start ssh
    eventually "sshd runs" systemctl is-active ssh
}
ssh_as() { # ssh_as USER PASSWORD COMMAND...; whoever is banned while it logs in would wait for ever
    printf '#!/bin/sh\necho %s\n' "$2" >/askpass
    chmod 755 /askpass
    local user=$1
    shift 2
    SSH_ASKPASS=/askpass SSH_ASKPASS_REQUIRE=force ip netns exec client timeout 20 ssh -F none -o StrictHostKeyChecking=no \
        -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 -o PreferredAuthentications=password \
        -o ConnectTimeout=5 "$user@198.51.100.1" "$@" </dev/null
}
guess() { # guess TIMES: the client tries passwords
    local n
    for n in $(seq "$1"); do ssh_as root wrong true && fail "guess $n succeeded"; done
    return 0
}
