"""A stand-in for a service manager with a descriptor store (sd_notify(3), sd_listen_fds(3)).

usage: manager.py NOTIFY_SOCKET PROGRAM ARGUMENT...
Reads `start`, `stop`, `kill`, `listen PATH` or `told` from standard input, and answers each with a line: `told` with
what it was told since the last time, in order, without what is told again and again; the others with the names in its
store. It wants a sign of life every second.
"""

import os
import signal
import socket
import sys
import threading

path, command = sys.argv[1], sys.argv[2:]
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)
store = {}
heard = []
child = None


def keep():
    while True:
        text, descriptors, _, _ = socket.recv_fds(notify, 4096, 8)
        told = dict(line.split("=", 1) for line in text.decode().splitlines())
        for name in ("READY", "RELOADING", "MONOTONIC_USEC", "STOPPING", "WATCHDOG", "STATUS"):
            if name in told and name not in heard[-1:]:
                heard.append(name)
        if told.get("FDSTORE") == "1":
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
                old = store.pop(told["FDNAME"], None)
                if old is not None:
                    os.close(old)
                store[told["FDNAME"]] = descriptor
        if told.get("FDSTOREREMOVE") == "1" and told["FDNAME"] in store:
            os.close(store.pop(told["FDNAME"]))


def start():
    pid = os.fork()
    if pid:
        return pid
    os.environ["NOTIFY_SOCKET"] = path
    os.environ["WATCHDOG_USEC"] = "1000000"
    if store:
        os.environ["LISTEN_PID"] = str(os.getpid())
        os.environ["LISTEN_FDS"] = str(len(store))
        os.environ["LISTEN_FDNAMES"] = ":".join(store)
        for number, descriptor in enumerate([os.dup(descriptor) for descriptor in store.values()]):
            os.dup2(os.dup2(descriptor, 100 + number, inheritable=False), 3 + number, inheritable=True)
    os.execv(command[0], command)


threading.Thread(target=keep, daemon=True).start()
for line in sys.stdin:
    order, *rest = line.split()
    if order == "told":
        print(" ".join(heard), flush=True)
        heard.clear()
        continue
    if order == "start":
        child = start()
    elif order == "listen":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(rest[0])
        listener.listen()
        store["kban-control"] = listener.detach()
    else:
        os.kill(child, signal.SIGKILL if order == "kill" else signal.SIGTERM)
        os.waitpid(child, 0)
    print(" ".join(store), flush=True)
