"""A booted Skerry, as tests and measurements see it: serial line, ports, and a certain end.

    with Skerry("boot", CORES=4) as guest:
        guest.expect(r"shell ready")
        guest.send("ps")

Output comes as events on a pipe, so nothing here sleeps; a time-out only ends a hang. All that the
guest says is kept in BUILD/system/NAME.log.
"""
import codecs
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
# A hang is a hang on any machine: slow ones may stretch all time-outs by one factor.
PATIENCE = float(os.environ.get("PATIENCE") or "1")


# The stack has its address and the web server its port, in any order.
SERVES = r"httpd(-netd)?\] port 80 open", r"netd\] address [\d./]+ "


class GuestError(AssertionError):
    pass


class Skerry:
    """One run of tools/run.py HEADLESS=1. Settings are those of `make run`."""

    def __init__(self, name="guest", **settings):
        folder = os.path.join(BUILD, "system")
        os.makedirs(folder, exist_ok=True)
        self.log_path = os.path.join(folder, f"{name}.log")
        self.rundir = tempfile.mkdtemp(prefix="skerry-test-")
        if plugin := os.environ.get("GUEST_PLUGIN"):  # tools/longest.py: one file a guest
            out = os.path.join(os.environ["GUEST_PLUGIN_OUT"], os.path.basename(self.rundir))
            words = f"{settings.get('QEMU_ARGS', '')} -plugin {plugin},out={out}.paths"
            settings["QEMU_ARGS"] = words.strip()
        words = [f"{k}={v}" for k, v in settings.items()]
        words += ["HEADLESS=1", f"RUNDIR={self.rundir}"]
        clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL")}
        clean |= {"BUILD": BUILD, "DIE_WITH_PARENT": "1"}
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [os.path.join(ROOT, "tools/run.py"), *words],
            cwd=ROOT, env=clean, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0,
        )  # fmt: skip
        self.text, self.position, self.ended = "", 0, False
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        try:
            self.ports = self._ports()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _read(self):
        """Collects the pipe until run.py has closed it."""
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        with open(self.log_path, "wb", buffering=0) as log:
            while chunk := os.read(self.process.stdout.fileno(), 65536):
                log.write(chunk)
                with self.news:
                    self.text += decode(chunk).replace("\r", "")
                    self.news.notify_all()
        with self.news:
            self.ended = True
            self.news.notify_all()

    def _ports(self):
        """{"tcp:80": host port, ...}; the lines come before the guest runs."""
        first = self.expect(r"(http://\S+ -> guest :80|no network)\n", 20)[1]
        ports, wanted = {}, r"(http|tcp|udp)://127\.0\.0\.1:(\d+)/? -> guest :(\d+)"
        self.url = first.split(" ")[0] if first.startswith("http") else None
        for kind, host, guest in re.findall(wanted, self.text):
            ports[f"{'tcp' if kind == 'http' else kind}:{guest}"] = int(host)
        return ports

    def port(self, name):
        """Host port of 127.0.0.1 for a guest port such as `udp:7` (FORWARD=udp:7)."""
        if name not in self.ports:  # the line may still be in the pipe
            kind, number = name.split(":")
            found = self.wait_for(rf"{kind}://127\.0\.0\.1:(\d+) -> guest :{number}\n", 20)
            self.ports[name] = int(found[1])
        return self.ports[name]

    def tail(self, lines=40):
        return "\n".join(self.text.splitlines()[-lines:])

    def expect(self, pattern, timeout=60):
        """Waits for the pattern after what was expected before; returns the match."""
        found = self.wait_for(pattern, timeout, self.position)
        self.position = found.end()
        return found

    def wait_for(self, pattern, timeout=60, start=0):
        """Waits for the pattern in the output from `start` on; the place for `expect` stays."""
        regex, end = re.compile(pattern, re.M), time.monotonic() + timeout * PATIENCE
        with self.news:
            while True:
                if found := regex.search(self.text, start):
                    return found
                left = end - time.monotonic()
                if self.ended:
                    raise GuestError(f"guest ended before /{pattern}/\n{self.tail()}")
                if left <= 0:
                    raise GuestError(f"no /{pattern}/ within {timeout} s\n{self.tail()}")
                self.news.wait(left)

    def wait_until_it_serves(self, timeout=180):
        for line in SERVES:
            self.wait_for(line, timeout)

    def says_nothing_like(self, pattern):
        assert not re.search(pattern, self.text, re.M), f"guest said /{pattern}/\n{self.tail()}"

    def send(self, line, end="\r"):
        """Types a line at the serial console.

        Connected only while it types: QEMU writes a byte that a full socket refuses into the log
        and again when it succeeds, so whoever stays connected and reads slowly sees bytes twice.
        """
        with socket.socket(socket.AF_UNIX) as console:
            console.settimeout(60 * PATIENCE)
            console.connect(os.path.join(self.rundir, "serial"))
            console.sendall((line + end).encode())
            console.shutdown(socket.SHUT_WR)
            while console.recv(65536):  # the same bytes come by the pipe; the end: all was read
                pass

    def command(self, line, prompt=r"^skerry> ?", timeout=60):
        """Types a shell command and returns what it printed."""
        start = self.position = len(self.text)
        self.send(line)
        self.expect(re.escape(line) + r"\s*\n", timeout)
        begin = self.position
        found = self.expect(prompt, timeout)
        assert start <= begin
        return self.text[begin : found.start()]

    def qmp(self, command, **arguments):
        """One QMP command, for instance qmp("query-status")."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.rundir, "qmp"))
            stream = s.makefile("rw")
            stream.readline()
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": arguments}):  # fmt: skip
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
            return answer.get("return", answer)

    def qemu_pid(self):
        """The process id of QEMU itself (run.py is its parent)."""
        text = subprocess.run(
            ["ps", "-o", "pid=,comm=", "--ppid", str(self.process.pid)],
            capture_output=True, text=True,
        ).stdout  # fmt: skip
        return next(int(w.split()[0]) for w in text.splitlines() if "qemu" in w)

    def wait(self, timeout=60):
        """Waits until the guest has switched itself off; returns run.py's exit code."""
        code = self.process.wait(timeout * PATIENCE)
        self.reader.join(10)
        return code

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.reader.join(10)
        subprocess.run(["rm", "-rf", self.rundir])


def wait_readable(sock, timeout):
    """True when the socket has something to read before the time-out."""
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        return bool(selector.select(timeout * PATIENCE))
