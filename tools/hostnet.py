"""TAP devices and network namespaces of the host: what lacks is made, and undone at the end."""
import os
import subprocess


class NetError(Exception):
    pass


def ip(*words, netns=""):
    prefix = ["ip", "-n", netns] if netns else ["ip"]
    done = subprocess.run([*prefix, *words], capture_output=True, text=True)
    if done.returncode:
        raise NetError(f"{' '.join([*prefix, *words])}: {done.stderr.strip()}")
    return done.stdout


def netns_exists(name):
    return os.path.exists(f"/var/run/netns/{name}")


def tap_exists(name, netns=""):
    try:
        ip("link", "show", "dev", name, netns=netns)
        return True
    except NetError:
        return False


def need_root(what):
    if os.geteuid() != 0:
        raise NetError(f"{what} does not exist, and only root can make it; NET=user needs no root")


def prepare_netns(name, undo):
    """Makes the namespace when it is missing; `undo` takes commands to run at the end."""
    if netns_exists(name):
        return
    need_root(f"network namespace {name}")
    undo(["ip", "netns", "del", name])
    ip("netns", "add", name)
    ip("link", "set", "lo", "up", netns=name)


def prepare_tap(name, netns, address, undo):
    """Makes the TAP when it is missing, up and with the host's `address` (a.b.c.d/n)."""
    if tap_exists(name, netns):
        return
    need_root(f"TAP device {name}")
    if not os.path.exists("/dev/net/tun"):
        raise NetError("/dev/net/tun is missing: this host has no TAP; NET=user needs none")
    undo(["ip", *(["-n", netns] if netns else []), "link", "del", "dev", name])
    ip("tuntap", "add", "dev", name, "mode", "tap", netns=netns)
    ip("addr", "add", address, "dev", name, netns=netns)
    ip("link", "set", "dev", name, "up", netns=netns)
