"""tools/run.py against a stub guest: nothing it starts or makes outlives it, however it ends."""
import os
import select
import signal
import socket
import subprocess
import urllib.parse

import hostnet
import pexpect
import pytest
from namespace import missing
from skerry import PATIENCE, ROOT, Skerry

RUN = os.path.join(ROOT, "tools/run.py")
HELLO = "hello from the stub"


def children_of(pid):
    words = ["ps", "-o", "pid=", "--ppid", str(pid)]
    return [int(p) for p in subprocess.run(words, capture_output=True, text=True).stdout.split()]


def wait_gone(pid):
    """Waits for the end of a process that is not ours, by its pidfd."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], 20 * PATIENCE)[0])
    finally:
        os.close(fd)


def test_url_comes_first_then_the_guest(stub_iso):
    with Skerry("stub", ISO=stub_iso, CORES=1, FORWARD="udp:7") as guest:
        guest.expect(HELLO)
        assert guest.text.startswith("http://127.0.0.1:")
        assert urllib.parse.urlparse(guest.url).port == guest.port("tcp:80")
        assert guest.port("udp:7") != guest.port("tcp:80")


def test_two_runs_at_once_have_ports_of_their_own(stub_iso):
    with Skerry("one", ISO=stub_iso, CORES=1) as one, Skerry("two", ISO=stub_iso, CORES=1) as two:
        one.expect(HELLO)
        two.expect(HELLO)
        assert one.port("tcp:80") != two.port("tcp:80")


def test_what_is_typed_reaches_the_guest_and_halt_ends_the_run(stub_iso):
    with Skerry("typed", ISO=stub_iso, CORES=1) as guest:
        guest.expect(HELLO)
        guest.send("abc", end="")
        guest.expect("abc")
        assert guest.qmp("query-status")["status"] == "running"
        guest.send("q", end="")
        assert guest.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_no_signal_leaves_qemu_or_its_folder_behind(stub_iso, number, tmp_path):
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    process = subprocess.Popen(
        [RUN, f"ISO={stub_iso}", "HEADLESS=1", "CORES=1"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )  # fmt: skip
    assert any(HELLO in line for line in process.stdout)
    children = children_of(process.pid)
    assert len(children) == 2 and len(os.listdir(tmp_path)) == 1  # QEMU and the janitor
    process.send_signal(number)
    process.wait(20 * PATIENCE)
    process.stdout.close()
    for pid in children:
        assert wait_gone(pid), f"process {pid} is left"
    assert os.listdir(tmp_path) == []


def test_a_guest_ends_with_the_tool_that_started_it(stub_iso):
    """However that ends: nobody is left to stop the guest then."""
    tool = (
        "import os, signal, sys; sys.path.insert(0, 'tools'); from guest import Skerry\n"
        f"guest = Skerry('orphan', ISO={str(stub_iso)!r}, CORES=1)\n"
        f"guest.expect({HELLO!r})\n"
        "print(guest.process.pid, guest.qemu_pid(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    words = ["/usr/bin/python3", "-c", tool]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    for pid in done.stdout.split():
        assert wait_gone(int(pid)), f"process {pid} is left"


def test_end_of_input_is_no_end(stub_iso):
    with Skerry("eof", ISO=stub_iso, CORES=1) as guest:  # its standard input is /dev/null
        guest.expect(HELLO)
        guest.send("still here", end="")
        guest.expect("still here")


@pytest.mark.parametrize("kind", ["file", "socket"])
def test_serial_goes_wherever_standard_output_goes(stub_iso, tmp_path, kind):
    near, far = socket.socketpair()
    with open(tmp_path / "out.txt", "w") as out:
        process = subprocess.Popen(
            [RUN, f"ISO={stub_iso}", "HEADLESS=1", "CORES=1", f"RUNDIR={tmp_path}/run"],
            stdout=out if kind == "file" else far, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        far.close()
        text = ""
        while HELLO not in text:
            if kind == "socket":
                text += near.recv(4096).decode()
            else:
                text = (tmp_path / "out.txt").read_text()
                assert process.poll() is None
        process.terminate()
        process.wait(20 * PATIENCE)
    assert text.startswith("http://127.0.0.1:")


def test_control_a_x_leaves(stub_iso):
    child = pexpect.spawn(RUN, [f"ISO={stub_iso}", "CORES=1"], timeout=30 * PATIENCE)
    child.expect("-> guest :80")
    child.expect(HELLO)
    child.send("hm")
    child.expect("hm")
    child.sendcontrol("c")  # goes to the guest, which echoes it
    child.expect("\x03")
    child.sendcontrol("a")
    child.send("x")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_serial_file_gets_all(stub_iso, tmp_path):
    with Skerry("file", ISO=stub_iso, CORES=1, SERIAL=tmp_path / "serial,1.txt") as guest:
        guest.send("q", end="")
        guest.wait()
        assert HELLO not in guest.text
    assert HELLO in (tmp_path / "serial,1.txt").read_text()


def test_qemus_own_complaint_is_shown(stub_iso):
    done = subprocess.run(
        [RUN, f"ISO={stub_iso}", "HEADLESS=1", "QEMU_ARGS=-nonsense"],
        capture_output=True, text=True,
    )
    assert done.returncode == 1 and "nonsense" in done.stderr


def test_a_missing_image_is_named():
    done = subprocess.run([RUN, "ISO=/nowhere/x.iso"], capture_output=True, text=True)
    assert done.stderr == "run: /nowhere/x.iso does not exist; `make` builds it\n"


class TestTap:
    @pytest.fixture(autouse=True)
    def needs_root(self):
        if why := missing():
            pytest.skip(why)

    def test_what_was_made_is_removed(self, stub_iso):
        name = f"skrun{os.getpid()}"
        with Skerry("made", ISO=stub_iso, CORES=1, TAP="made0", NETNS=name) as guest:
            guest.expect(HELLO)
            assert guest.url == "http://10.77.0.2/"
            assert "10.77.0.1/24" in hostnet.ip("addr", "show", "dev", "made0", netns=name)
        assert not hostnet.netns_exists(name)

    def test_what_existed_is_left(self, stub_iso):
        name = f"skold{os.getpid()}"
        undone = []
        hostnet.prepare_netns(name, undone.append)
        try:
            hostnet.prepare_tap("old0", name, "10.77.0.1/24", undone.append)
            with Skerry("old", ISO=stub_iso, CORES=1, TAP="old0", NETNS=name) as guest:
                guest.expect(HELLO)
            assert hostnet.tap_exists("old0", name)
        finally:
            hostnet.ip("netns", "del", name)

    def test_a_kill_leaves_no_namespace(self, stub_iso):
        name = f"skkill{os.getpid()}"
        with Skerry("killed", ISO=stub_iso, CORES=1, TAP="k0", NETNS=name) as guest:
            guest.expect(HELLO)
            family = children_of(guest.process.pid)
            guest.process.kill()
            guest.process.wait()
            assert all(wait_gone(p) for p in family)
        assert not hostnet.netns_exists(name)
