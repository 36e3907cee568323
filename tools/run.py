#!/usr/bin/python3
"""Boots the image in QEMU: `make run KEY=value...`; tools/settings.py has every setting.

However this process ends, QEMU ends, and the TAP, the namespace and the run directory that were
made here go: a janitor process waits for the end of a pipe that only this process holds open.
"""
import atexit
import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import termios

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import hostnet  # noqa: E402
import qemu  # noqa: E402
import settings  # noqa: E402

PR_SET_PDEATHSIG = 1


def die_with_parent(number):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


class Janitor:
    """Undoes things, last first, when this process has ended or asks for it."""

    def __init__(self):
        reader, self.writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.writer)
            self.wait_and_undo(reader)
        os.close(reader)

    def undo(self, command):
        self.tell({"run": command})

    def tell(self, message):
        os.write(self.writer, json.dumps(message).encode() + b"\n")

    def finish(self):
        os.close(self.writer)
        os.waitpid(self.pid, 0)

    @staticmethod
    def wait_and_undo(reader):
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3):
            os.dup2(null, fd)
        todo = []
        with os.fdopen(reader) as lines:
            for line in lines:
                message = json.loads(line)
                if "kill" in message:
                    # A pidfd, because by the end the number may belong to somebody else.
                    try:
                        message["kill"] = os.pidfd_open(message["kill"])
                    except OSError:
                        continue
                todo.append(message)
        for message in reversed(todo):
            Janitor.carry_out(message)
        os._exit(0)

    @staticmethod
    def carry_out(message):
        try:
            if "kill" in message:
                signal.pidfd_send_signal(message["kill"], signal.SIGKILL)
            elif "rmtree" in message:
                shutil.rmtree(message["rmtree"], ignore_errors=True)
            else:
                subprocess.run(message["run"], timeout=10)
        except (OSError, subprocess.SubprocessError):
            pass


class Control:
    """Our own QMP connection, over a socket pair."""

    def __init__(self, end):
        self.stream = end.makefile("rw")
        self.stream.readline()  # greeting
        self.ask("qmp_capabilities")

    def tell(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self.stream.write(json.dumps(request) + "\n")
        self.stream.flush()

    def ask(self, command, **arguments):
        self.tell(command, **arguments)
        while True:
            line = self.stream.readline()
            if not line:
                raise ConnectionError
            answer = json.loads(line)
            if "return" in answer or "error" in answer:
                return answer.get("return")


def forwarded(control):
    """{(protocol, guest port): host port} as the kernel has chosen them."""
    text = control.ask("human-monitor-command", **{"command-line": "info usernet"})
    rows = re.findall(r"(TCP|UDP)\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)\s+\S+\s+(\d+)", text)
    return {(p.lower(), int(guest)): int(host) for p, host, guest in rows}


def announce(run, control):
    """Says where the guest can be reached, before it runs."""
    if run.net == "user":
        ports = forwarded(control)
        print(f"http://127.0.0.1:{ports['tcp', 80]}/ -> guest :80", flush=True)
        for protocol, port in run.forwards[1:]:
            host = ports[protocol, port]
            print(f"{protocol}://127.0.0.1:{host} -> guest :{port}", flush=True)
    elif run.net == "tap":
        address = run.ip.ip if run.ip else qemu.TAP_GUEST.partition("/")[0]
        print(f"http://{address}/ -> guest :80", flush=True)
    else:
        print("no network", flush=True)


def host_address(run):
    """What the host's end of a TAP made here is called, as a.b.c.d/n."""
    host = run.gw or (next(run.ip.network.hosts()) if run.ip else qemu.TAP_HOST)
    length = run.ip.network.prefixlen if run.ip else qemu.TAP_GUEST.partition("/")[2]
    return f"{host}/{length}"


def shown_taps(run):
    """The TAPs of a run that is only shown."""
    return [run.values["TAP"] or "skerry0", run.values["TAP2"] or "skerry1"][: run.nics]


def prepare_network(run, janitor):
    """The names of the TAPs, and what goes in front of QEMU's command line."""
    netns, taps = run.values["NETNS"], []
    if netns:
        hostnet.prepare_netns(netns, janitor.undo)
    if run.net == "tap":
        taps = [run.values["TAP"] or f"skerry{os.getpid()}"]
        hostnet.prepare_tap(taps[0], netns, host_address(run), janitor.undo)
    if run.net == "tap" and run.nics == 2:
        taps.append(run.values["TAP2"] or f"skerry{os.getpid()}b")
        hostnet.prepare_tap(taps[1], netns, qemu.SECOND_HOST, janitor.undo)
    return taps, ["ip", "netns", "exec", netns] if netns else []


def make_rundir(run, janitor):
    if run.values["RUNDIR"]:
        os.makedirs(run.values["RUNDIR"], exist_ok=True)
        return run.values["RUNDIR"]
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    rundir = tempfile.mkdtemp(prefix="skerry-", dir=base if os.path.isdir(base) else None)
    janitor.tell({"rmtree": rundir})
    return rundir


def openable_stdout():
    """A path under which QEMU can open our standard output, and the descriptor it needs for that.

    A socket cannot be opened by name; `cat` then carries the bytes over.
    """
    if not stat.S_ISSOCK(os.fstat(1).st_mode):
        return "/dev/stdout", []
    carrier = subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, preexec_fn=lambda: die_with_parent(signal.SIGKILL)
    )
    return f"/dev/fd/{carrier.stdin.fileno()}", [carrier.stdin.fileno()]


def supervise(run, iso, build):
    janitor = Janitor()
    atexit.register(janitor.finish)
    stop_on_signals()
    rundir = make_rundir(run, janitor)
    taps, prefix = prepare_network(run, janitor)
    ours, theirs = socket.socketpair()
    stdout, more = openable_stdout()
    words = qemu.command(run, iso, rundir, qemu.tsc_khz(build), taps, theirs.fileno(), stdout)
    keep_terminal()
    process = subprocess.Popen(
        prefix + words,
        pass_fds=[theirs.fileno(), *more],
        stdin=subprocess.DEVNULL if run.headless else None,
        preexec_fn=lambda: die_with_parent(signal.SIGKILL),
    )
    janitor.tell({"kill": process.pid})
    theirs.close()
    control = None
    try:
        control = Control(ours)
        announce(run, control)
        control.ask("cont")
        return process.wait()
    except (ConnectionError, BrokenPipeError, json.JSONDecodeError):
        return process.wait()  # QEMU has said why on standard error
    finally:
        stop(process, control)


def stop(process, control):
    if process.poll() is None:
        if control:
            control.tell("quit")  # a signal would make QEMU say who sent it
        else:
            process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def stop_on_signals():
    def leave(number, _):
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, leave)


def keep_terminal():
    """QEMU makes the terminal raw; when it is killed nobody but us can make it good again."""
    if sys.stdin and sys.stdin.isatty():
        saved = termios.tcgetattr(0)
        atexit.register(lambda: termios.tcsetattr(0, termios.TCSANOW, saved))


def child_of_make():
    with open(f"/proc/{os.getppid()}/comm") as f:
        return f.read().strip() in ("make", "gmake")


def main(arguments):
    build = os.environ.get("BUILD", "build")
    try:
        run = settings.from_world(arguments)
    except settings.SettingError as e:
        sys.exit(f"run: {e}")
    more = "-more" if os.environ.get("MORE") else ""  # domains from outside (tools/configure.py)
    iso = run.values["ISO"] or os.path.join(build, f"skerry{more}.iso")
    if run.dry:
        rundir = run.values["RUNDIR"] or "/tmp/skerry"
        khz = qemu.tsc_khz(build)
        print(shlex.join(qemu.command(run, iso, rundir, khz, shown_taps(run))))
        return 0
    if not os.path.exists(iso):
        sys.exit(f"run: {iso} does not exist; `make` builds it")
    if child_of_make() or os.environ.get("DIE_WITH_PARENT"):  # set by tools/guest.py
        die_with_parent(signal.SIGTERM)
    try:
        return supervise(run, iso, build)
    except hostnet.NetError as e:
        sys.exit(f"run: {e}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
