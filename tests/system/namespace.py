"""A network namespace of a test's own, with a TAP for the guest: traffic never leaves it."""
import contextlib
import ctypes
import os
import subprocess
import threading
import time

from skerry import PATIENCE, wait_readable

CLONE_NEWNET = 0x40000000
HOST, GUEST = "10.77.0.1", "10.77.0.2"


def missing():
    """Why no namespace with a TAP can be had here, or nothing."""
    if os.geteuid() != 0:
        return "tests over TAP: not root"
    if not os.path.exists("/dev/net/tun"):
        return "tests over TAP: /dev/net/tun is missing"
    return ""


def read_until(pipe, wanted, timeout=60):
    """Reads an unbuffered pipe up to the line that has `wanted` in it."""
    end, line = time.monotonic() + timeout * PATIENCE, b""
    while wanted not in line:
        left = max(0, end - time.monotonic())
        assert wait_readable(pipe, left / PATIENCE), f"no {wanted} within {timeout} s"
        line = pipe.readline()
        assert line, f"the program ended before it said {wanted}"


class Namespace:
    def __init__(self, name, tap="tap0"):
        """`tap` empty: without one."""
        self.name, self.tap = name, tap
        subprocess.run(["ip", "netns", "add", name], check=True)
        try:
            self.run("ip", "link", "set", "lo", "up")
            if tap:
                self.run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
                self.run("ip", "addr", "add", f"{HOST}/24", "dev", tap)
                self.run("ip", "link", "set", "dev", tap, "up")
        except BaseException:
            self.close()
            raise

    def settings(self, static=True):
        """What a guest needs to be in here."""
        found = {"NET": "tap", "TAP": self.tap, "NETNS": self.name}
        return {**found, "IP": f"{GUEST}/24", "GW": HOST} if static else found

    def run(self, *command, check=True, timeout=120, **more):
        """Runs a program inside; returns it with its output as text."""
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            check=check, timeout=timeout * PATIENCE, text=True, capture_output=True, **more,
        )  # fmt: skip

    def ping(self, *words, check=True):
        """What `ping` of one packet says; its time-out ends a hang."""
        wait = str(int(60 * PATIENCE) or 1)
        return self.run("ping", "-c", "1", "-W", wait, *words, check=check).stdout

    def popen(self, *command, **more):
        """Pipes are unbuffered: `read_until` waits for what comes."""
        words = ["ip", "netns", "exec", self.name, *command]
        return subprocess.Popen(words, bufsize=0, **more)

    @contextlib.contextmanager
    def entered(self):
        """Sockets that this thread makes inside the block belong to the namespace for good."""
        assert threading.current_thread() is threading.main_thread()
        libc = ctypes.CDLL(None, use_errno=True)
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        away = os.open(f"/var/run/netns/{self.name}", os.O_RDONLY)
        try:
            if libc.setns(away, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            yield self
        finally:
            libc.setns(home, CLONE_NEWNET)
            os.close(home)
            os.close(away)

    def close(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False)
