"""QEMU's command line for checked settings, and the settings line that the guest reads."""
import os
import re
import subprocess

import settings

MACS = "52:54:00:77:00:02", "52:54:00:77:00:03"
TAP_GUEST, TAP_HOST = "10.77.0.2/24", "10.77.0.1"
SECOND_HOST = "10.78.0.1/24"  # beside what net/routed/routes gives the second card


def host_cpus():
    return len(os.sched_getaffinity(0))


def tsc_khz(build):
    """The host's TSC frequency as the guest will see it; measured once per boot of the host."""
    cache = os.path.join(build, "tsc_khz.txt")
    with open("/proc/sys/kernel/random/boot_id") as f:
        boot = f.read().strip()
    try:
        with open(cache) as f:
            known_boot, khz = f.read().split()
        if known_boot == boot:
            return khz
    except (OSError, ValueError):
        pass
    probe = os.path.abspath(os.path.join(build, "tsc_khz"))
    khz = subprocess.run([probe], capture_output=True, text=True, check=True).stdout.strip()
    partial = f"{cache}.{os.getpid()}"
    with open(partial, "w") as f:
        f.write(f"{boot} {khz}\n")
    os.replace(partial, cache)
    return khz


def guest_line(run, khz):
    """`key=value ...` for the guest. `ip=dhcp,A/n` means: ask, and take A/n when nobody answers."""
    ip, gw = run.values["IP"], run.values["GW"]
    if run.net == "tap" and not ip:
        ip, gw = f"dhcp,{TAP_GUEST}", gw or TAP_HOST
    elif run.net == "tap":
        gw = gw or str(next(run.ip.network.hosts()))
    elif run.net == "user" and ip:
        gw = gw or "10.0.2.2"
    poll = run.values["POLL"] or ("0" if run.cores > host_cpus() else "")
    pairs = [("ip", ip), ("gw", gw), ("test", run.values["TEST"])]
    as_they_are = ("PLACE", "COUNT", "SEED", "LOG", "MEMORY", "START")
    pairs += [(key.lower(), run.values[key]) for key in as_they_are]
    pairs += [("tsc_khz", khz), ("poll", poll), ("suspect", run.values["SUSPECT"])]
    return " ".join(f"{key}={value}" for key, value in pairs if value)


def nodes(run):
    """NUMA nodes of equal size, the first virtual CPUs in the first; the farther the more apart."""
    if run.nodes == 1:
        return []
    words, left = [], run.mem
    for node in range(run.nodes):
        size = left if node == run.nodes - 1 else run.mem // run.nodes // 2 * 2
        left -= size
        words += ["-object", f"memory-backend-ram,id=node{node},size={size}M"]
        cpus = [cpu for cpu in range(run.cores) if cpu * run.nodes // run.cores == node]
        named = f",cpus={cpus[0]}-{cpus[-1]}" if cpus else ""
        words += ["-numa", f"node,nodeid={node},memdev=node{node}{named}"]
    for a in range(run.nodes):
        for b in range(run.nodes):
            words += ["-numa", f"dist,src={a},dst={b},val={10 + 10 * abs(a - b)}"]
    return words


def network(run, taps):
    """A card for each; the second one of user networking is in a network of its own."""
    if run.net == "none":
        return []
    # Port 0: the kernel chooses one that is free, so any number of runs fit on one host.
    wanted = "".join(f",hostfwd={p}:127.0.0.1:0-:{port}" for p, port in run.forwards)
    backends = [f"user,id=net0{wanted}", "user,id=net1,net=10.78.0.0/24"]
    if run.net == "tap":
        backends = [f"tap,id=net{i},ifname={t},script=no,downscript=no" for i, t in enumerate(taps)]
    if run.net == "hub":
        backends = [f"hubport,id=net{i},hubid=0" for i in range(run.nics)]
    words = []
    for number in range(run.nics):
        words += ["-netdev", backends[number], "-device"]
        words += [f"{run.nic},netdev=net{number},mac={MACS[number]},romfile="]
    return words


def serial(run, rundir, stdout):
    """A terminal with Ctrl-A X, or a socket that may be connected to while a file gets all."""
    if not run.headless:
        log = f",logfile={comma(run.values['SERIAL'])}" if run.values["SERIAL"] else ""
        return [
            "-chardev", f"stdio,id=serial0,mux=on,signal=off{log}",
            "-mon", "chardev=serial0,mode=readline", "-serial", "chardev:serial0",
        ]  # fmt: skip
    log = f"logfile={comma(run.values['SERIAL'])}"
    if not run.values["SERIAL"]:
        log = f"logfile={stdout},logappend=on"
    path = comma(os.path.join(rundir, "serial"))
    return [
        "-chardev", f"socket,id=serial0,path={path},server=on,wait=off,{log}",
        "-serial", "chardev:serial0",
    ]  # fmt: skip


def comma(text):
    """QEMU's option parser wants a comma inside a value doubled."""
    return text.replace(",", ",,")


def command(run, iso, rundir, khz, taps=(), control=None, stdout="/dev/stdout"):
    """The whole argument list; `control` is an open file descriptor for our own QMP."""
    extra = settings.words(run.values, "QEMU_ARGS")
    words = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
    words += ["-name", "skerry,debug-threads=on", "-machine", "pc"]
    if "-icount" in extra:
        # The counter then advances by one a nanosecond of virtual time, and with it the clock of
        # day: what waits for that one would wait for the host.
        khz = "1000000"
        extra = [*extra, "-rtc", "base=2026-01-01,clock=vm"]
    if "coherence.so" in run.values["QEMU_ARGS"]:  # the model's clock
        khz = re.search(r",mhz=(\d+)|$", run.values["QEMU_ARGS"])[1] or "2000"
        khz += "000"
    if "-accel" not in extra:
        words += ["-accel", "tcg,thread=" + ("single" if "-icount" in extra else "multi")]
    words += ["-cpu", run.values["CPU"], "-smp", str(run.cores), "-m", f"{run.mem}M", "-no-reboot"]
    words += nodes(run)
    words += ["-cdrom", iso, "-boot", "d"]
    line = guest_line(run, khz)
    words += ["-fw_cfg", f"name=opt/skerry/cmdline,string={comma(line)}"]
    words += serial(run, rundir, stdout)
    words += ["-qmp", f"unix:{comma(os.path.join(rundir, 'qmp'))},server=on,wait=off"]
    if control is not None:
        words += ["-S", "-chardev", f"socket,id=control,fd={control}"]
        words += ["-mon", "chardev=control,mode=control"]
    words += network(run, taps)
    if run.values["TEST"] == "1":
        words += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    return words + extra
