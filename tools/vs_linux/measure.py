"""What is measured of either guest, by the same client and the same plugin.

Instructions of the network are counted between two echoes of UDP: each executes a marker, where the
plugin notes what all cores have executed, so whatever the client does in between is counted, and
one echo more.
"""
import http.client
import json
import os
import re
import subprocess
import time
from statistics import median

import count_output
import counts
from clients import ADDRESS, COUNTED, FORWARDED, SECOND_TAP, TAP, udp_echoes
from guest import BUILD, GuestError, Skerry
from linux import FOLDER, Linux
from rows import Value

# Words of 8 bytes are copied one an instruction of REP; with ERMS Linux copies bytes.
WORDS = "max,-erms"
NETWORK = {"udp_echo", "tcp_segment", "tcp_bulk_in", "tcp_bulk_out", "http_request",
           "connect_echo_close", "forward"}  # fmt: skip
TIMED = {"udp_p10", "udp_p50", "udp_rate", "tcp_in", "tcp_out", "connections_1", "connections_8",
         "http_1", "http_8", "http_64", "boot"}  # fmt: skip
PRIMITIVES = {
    "null_call", "zero_page", "page_fault", "map_touch_unmap", "protect", "timer_set",
    "timer_cancel", "thread_create_join", "two_yields", "spawn", "call_event", "call_futex",
    "call_pipe", "call_socket", "wake", "yield_alone", "yield_pair", "remote_event",
    "remote_futex", "switch",
}  # fmt: skip
BOOT_SECONDS = 300


class Side:
    """One of the two systems: how it is booted, with settings as of tools/run.py."""

    def __init__(self, name, cores, cpu):
        self.name, self.cores, self.cpu = name, cores, cpu

    def settings(self, cores):
        return {"CORES": cores, "NET": "tap", "TAP": TAP, "IP": f"{ADDRESS}/24", "MEM": "512M"}

    def boot(self, cores=None, plugin="", **more):
        words = self.settings(cores or self.cores) | more
        if self.name == "linux":
            words |= {"CPU": self.cpu} if plugin else {}
            return Linux(f"services {ADDRESS}", plugin, **words)
        if plugin:
            words |= {"COUNT": "udp-echo:0:1000000000", "QEMU_ARGS": plugin, "POLL": 0}
        return Skerry("vs-linux", **words)


LINUX, SKERRY = Side("linux", 1, WORDS), Side("skerry", 1, "")


def first_answer(limit=BOOT_SECONDS):
    """Waits until the guest answers an HTTP request."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            connection = http.client.HTTPConnection(ADDRESS, timeout=1)
            connection.request("GET", "/bytes/128")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.02)
    raise GuestError(f"no answer from port 80 within {limit} s")


def drive_counted(counted):
    """All of them; the numbers of the echoes that stand before each, and behind the last."""
    udp_echoes(20)
    for _, drive, _, _ in counted:
        if drive is not udp_echoes:
            drive(5)
    at, echoes = [], 20
    for name, drive, amount, _ in counted:
        udp_echoes(1)
        echoes += 1
        at.append(echoes - 1)
        drive(amount)
        echoes += amount if name == "udp_echo" else 0
        time.sleep(0.2)  # late acknowledgements belong to what was driven
    udp_echoes(2)  # who answers the second one has counted the first
    return [*at, echoes]


def between_echoes(marks, at, counted):
    """{name: Value} from the counts at each echo; one echo is in each stretch."""
    found, echo = {}, 0
    if len(marks) <= at[-1]:
        raise GuestError(f"the plugin saw {len(marks)} echoes, {at[-1] + 1} were sent")
    for (name, _, _, operations), begin, end in zip(counted, at, at[1:]):
        whole = marks[end] - marks[begin]
        used = whole.instructions - whole.polling
        if name == "udp_echo":
            each = [b.instructions - a.instructions
                    for a, b in zip(marks[begin:end], marks[begin + 1 : end + 1])]  # fmt: skip
            echo = median(each)
            found[name] = Value(echo)
        else:
            found[name] = Value(round((used - echo) / operations))
    return found


def count_network(side, counted=COUNTED, more="", **words):
    """`more`: for QEMU; `words`: settings of the guest."""
    out = os.path.join(FOLDER, f"{side.name}-network.txt")
    with side.boot(plugin=counted_by(out, side) + more, **words) as guest:
        first_answer()
        at = drive_counted(counted)
        end(guest)
    marks = [e.all for e in count_output.read(out).events if e.marker == 12]
    return between_echoes(marks, at, counted)


def count_forwarding(side):
    """Between two cards; an echo through the first says where it begins and ends."""
    counted = [COUNTED[0], *FORWARDED]
    if side.name == "skerry":  # its `routes` file has the second card's address
        return {"forward": count_network(side, counted, NICS=2, TAP2=SECOND_TAP)["forward"]}
    card = f" -netdev tap,id=net1,ifname={SECOND_TAP},script=no,downscript=no"
    card += " -device e1000,netdev=net1,mac=52:54:00:77:00:03,romfile="
    return {"forward": count_network(side, counted, card)["forward"]}


def counted_by(out, side):
    if os.path.exists(out):
        os.remove(out)
    polling = f",poll={counts.FOLDER}/polling" if side.name == "skerry" else ""
    return f"-plugin {BUILD}/plugin/insncount.so,out={out}{polling}"


def end(guest):
    """The plugin writes when QEMU ends."""
    if isinstance(guest, Skerry):
        guest.qmp("quit")
        guest.wait()
    else:
        guest.stop()


def linux_primitives(cores, samples=100):
    out = os.path.join(FOLDER, f"primitives-{cores}.txt")
    plugin = counted_by(out, LINUX)
    with Linux(f"measure {samples}", plugin, CORES=cores, NIC="none", CPU=WORDS) as guest:
        guest.wait_for(r"^linux done$", BOOT_SECONDS)
        guest.process.wait(60)
    return sampled(guest.text, count_output.read(out).between(16, 17))


def sampled(text, passed):
    """{name: Value}: the guest lists figures in the order in which it took their samples."""
    figures = [(n, int(c)) for n, c in re.findall(r"^sampled (\w+) (\d+)$", text, re.M)]
    if not figures or sum(c for _, c in figures) != len(passed):
        raise GuestError(f"the plugin saw {len(passed)} samples, Linux lists "
                         f"{sum(c for _, c in figures)}")  # fmt: skip
    found, start, harness = {}, 0, 0
    for name, count in figures:
        figure = counts.figure_of(passed[start : start + count], harness)
        start += count
        harness = figure.median if name == counts.HARNESS else harness
        found[name] = Value(figure.median, figure.repeats)
    if "nops" in found and abs(found["nops"].amount - 1000) > 2:
        raise GuestError(f"a row of 1,000 NOPs takes {found['nops'].amount} instructions")
    if "yield_pair" in found:
        found["switch"] = Value(found["yield_pair"].amount // 2 - found["yield_alone"].amount)
    return found


def skerry_primitives(figures):
    found = counts.measure(figures)
    zeroed = {f["id"]: f.get("zeroed_bytes", 0) // 8 for f in figures}
    return {name: Value(f.median, zeroed.get(name, 0)) for name, f in found.items()}


# Wall clock.


def driven(*words):
    ran = subprocess.run([os.path.join(FOLDER, "drive"), ADDRESS, *map(str, words)],
                         capture_output=True, text=True, timeout=120)  # fmt: skip
    if ran.returncode:
        raise GuestError(f"drive {words[0]} fails: {ran.stderr.strip() or 'without a word'}")
    return json.loads(ran.stdout)


def wrk(open_, seconds):
    url = f"http://{ADDRESS}/bytes/128"
    ran = subprocess.run(["wrk", "-t1", f"-c{open_}", f"-d{seconds}s", url],
                         capture_output=True, text=True, timeout=120)  # fmt: skip
    found = re.search(r"Requests/sec:\s+([\d.]+)", ran.stdout)
    if not found:
        raise GuestError("wrk says no rate")
    return Value(float(found[1]))


def clock_rows(side, seconds):
    """{name: how to measure it} of a guest that serves."""
    latency = {}

    def percentile(key):
        latency.update(latency or driven("udp-latency", 2000))
        return Value(latency[key])

    def rate(key, *words):
        found = driven(*words)
        if lost := found.get("lost", 0) + found.get("failed", 0):
            print(f"vs-linux: {side.name}: {words[0]}: {lost} had no answer", flush=True)
        return Value(found[key])

    return {
        "udp_p10": lambda: percentile("us_p10"),
        "udp_p50": lambda: percentile("us_p50"),
        "udp_rate": lambda: rate("per_s", "udp-rate", seconds, 8),
        "tcp_in": lambda: rate("mbit_s", "tcp-in", seconds),
        "tcp_out": lambda: rate("mbit_s", "tcp-out", seconds),
        "connections_1": lambda: rate("per_s", "connections", seconds, 1),
        "connections_8": lambda: rate("per_s", "connections", seconds, 8),
        "http_1": lambda: wrk(1, seconds),
        "http_8": lambda: wrk(8, seconds),
        "http_64": lambda: wrk(64, seconds),
    }


def time_network(side, complain, seconds=3):
    found = {}
    with side.boot() as guest:
        first_answer()
        time.sleep(1)
        for name, take in clock_rows(side, seconds).items():
            try:
                found[name] = take()
            except (GuestError, subprocess.TimeoutExpired) as e:
                complain(f"{side.name}: {name}: {first_line(e)}")
        end(guest)
    return found


def time_boot(side, cores=4):
    with side.boot(cores) as guest:
        first_answer()
        found = {"boot": Value(time.monotonic() - guest.started)}
        end(guest)
    return found


def first_line(error):
    return str(error).splitlines()[0] if str(error) else type(error).__name__
