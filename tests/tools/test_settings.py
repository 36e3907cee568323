import re
import subprocess

import boot_figures
import pytest
import qemu
import settings

KHZ = "2600000"


def run(**values):
    return settings.checked(settings.gather([f"{k}={v}" for k, v in values.items()], {}))


def words(**values):
    checked = run(**values)
    taps = [checked.values["TAP"] or "made0", checked.values["TAP2"] or "made1"]
    return qemu.command(checked, "x.iso", "/run/x", KHZ, taps[: checked.nics])


def after(flag, line):
    return [line[i + 1] for i, word in enumerate(line) if word == flag]


def test_defaults_are_those_of_the_help():
    line = words()
    assert after("-smp", line) == ["4"] and after("-m", line) == ["512M"]
    assert after("-cpu", line) == ["max"] and after("-cdrom", line) == ["x.iso"]
    assert after("-netdev", line) == ["user,id=net0,hostfwd=tcp:127.0.0.1:0-:80"]
    assert "e1000,netdev=net0,mac=52:54:00:77:00:02,romfile=" in line


def test_settings_reach_the_guest_with_commas_doubled():
    line = words(PLACE="netd:2,httpd:3", SEED=7, TEST=1, LOG="trace", POLL=5)
    text = after("-fw_cfg", line)[0]
    assert text.startswith("name=opt/skerry/cmdline,string=")
    assert "test=1 place=netd:2,,httpd:3 seed=7 log=trace tsc_khz=2600000 poll=5" in text


@pytest.mark.parametrize("cores, polls", [(1, False), (200, True)])
def test_polling_is_off_when_virtual_cpus_exceed_the_hosts(cores, polls):
    assert ("poll=0" in qemu.guest_line(run(CORES=cores), KHZ)) == polls


def test_a_tap_without_an_address_asks_dhcp_first():
    line = words(TAP="t0")
    assert "ip=dhcp,,10.77.0.2/24 gw=10.77.0.1" in after("-fw_cfg", line)[0]
    assert after("-netdev", line) == ["tap,id=net0,ifname=t0,script=no,downscript=no"]


def test_a_static_address_gets_its_gateway():
    assert "ip=10.9.0.7/16 gw=10.9.0.1" in qemu.guest_line(run(NET="tap", IP="10.9.0.7/16"), KHZ)
    assert "ip=10.0.2.15/24 gw=10.0.2.2" in qemu.guest_line(run(IP="10.0.2.15/24"), KHZ)


def test_no_card_means_no_network():
    assert not after("-netdev", words(NIC="none")) and not after("-device", words(NIC="none"))


def test_more_ports_can_be_forwarded():
    netdev = after("-netdev", words(FORWARD="udp:7,tcp:5001,tcp:80"))[0]
    assert netdev.count("hostfwd") == 3 and "hostfwd=udp:127.0.0.1:0-:7" in netdev


def test_counting_runs_are_single_threaded_with_a_clock_of_their_own():
    line = words(QEMU_ARGS="-icount shift=0,sleep=off")
    assert after("-accel", line) == ["tcg,thread=single"]
    assert "tsc_khz=1000000" in after("-fw_cfg", line)[0]


def test_ones_own_accelerator_replaces_ours():
    assert after("-accel", words(QEMU_ARGS="-accel kvm")) == ["kvm"]


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"CORES": "0"}, "CORES=0: must be a number from 1 to 255"),
        ({"CORES": "256"}, "CORES=256: must be a number from 1 to 255"),
        ({"CORES": "four"}, "CORES=four: must be a number from 1 to 255"),
        ({"MEM": "512"}, "MEM=512: must look like 512M or 2G, and be at least 8M"),
        ({"NIC": "rtl8139"}, "NIC=rtl8139: must be one of e1000, e1000-82545em, e1000e, none"),
        ({"NET": "bridge"}, "NET=bridge: must be one of user, tap, hub, none"),
        ({"NET": "none", "TAP": "t"}, "NET=none and TAP=t contradict each other"),
        ({"IP": "10.77.0.2"}, "IP=10.77.0.2: must look like 10.77.0.2/24"),
        ({"IP": "10.77.0.300/24"}, "IP=10.77.0.300/24: must look like 10.77.0.2/24"),
        ({"GW": "x"}, "GW=x: must look like 10.77.0.1"),
        ({"TAP": "a-name-of-16-chr"}, "TAP=a-name-of-16-chr: must look like a device name"),
        ({"TEST": "yes"}, "TEST=yes: must be 0 or 1"),
        ({"LOG": "loud"}, "LOG=loud: must be one of error, warn, info, trace"),
        ({"PLACE": "netd=2"}, "PLACE=netd=2: must look like netd:2,httpd:3 or netd:e1000"),
        ({"FORWARD": "tcp:0"}, "FORWARD=tcp:0: must look like tcp:7,udp:7"),
        ({"QEMU_ARGS": "-device 'x"}, "QEMU_ARGS=-device 'x: no closing quotation"),
        ({"IP6": "fd77::2/64"}, "IP6: no such setting"),
        ({"CORE": "4"}, "CORE: no such setting; `make help` lists them"),
    ],
)
def test_bad_values_are_said_in_a_sentence(values, sentence):
    with pytest.raises(settings.SettingError, match=f"^{settings.re.escape(sentence)}"):
        run(**values)


def test_names_on_makes_command_line_are_checked_too():
    flags = "s -- QEMU_ARGS=-device\\ a=b CORE=4"
    assert settings.make_overrides(flags) == ["QEMU_ARGS", "CORE"]
    assert settings.make_overrides("w --no-print-directory") == []
    with pytest.raises(settings.SettingError, match="CORE: no such setting"):
        settings.gather([], {"MAKEFLAGS": flags})
    assert settings.gather([], {"MAKEFLAGS": " -- CORES=2", "CORES": "2"})["CORES"] == "2"
    more = {"MAKEFLAGS": " -- MORE=tests/hostile", "MORE": "tests/hostile"}
    assert settings.gather([], more)["CORES"] == "4"


def makefile():
    with open("Makefile") as f:
        return f.read()


def test_help_has_every_target_of_the_makefile():
    said = subprocess.run(["tools/help.py"], capture_output=True, text=True, check=True).stdout
    shown = set(re.findall(r"^  make ([a-z-]+)  ", said, re.M))
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile(), re.M)[1].split())
    assert shown == targets


def test_help_has_every_value_that_the_makefile_and_the_tools_take():
    said = subprocess.run(["tools/help.py"], capture_output=True, text=True, check=True).stdout
    shown = re.findall(r"^  ([A-Z0-9_]+)=", said, re.M)
    assert len(shown) == len(set(shown))
    own = {"PYTHON", "NINJA"}
    assert set(re.findall(r"\$\((?:or \$\()?([A-Z]\w*)[),]", makefile())) - own <= set(shown)


def test_a_second_card_is_in_a_network_of_its_own():
    line = words(NICS=2)
    assert after("-netdev", line)[1:] == ["user,id=net1,net=10.78.0.0/24"]
    assert "e1000,netdev=net1,mac=52:54:00:77:00:03,romfile=" in line


def test_cards_on_a_hub_see_each_other_and_nobody_else():
    backends = after("-netdev", words(NET="hub", NICS="2"))
    assert backends == ["hubport,id=net0,hubid=0", "hubport,id=net1,hubid=0"]


def test_under_icount_the_clock_of_day_is_the_guest_s_own():
    assert after("-rtc", words(QEMU_ARGS="-icount shift=0")) == ["base=2026-01-01,clock=vm"]
    assert not after("-rtc", words())
    line = words(NICS=2, TAP="a", TAP2="b")
    assert [word.split(",")[2] for word in after("-netdev", line)] == ["ifname=a", "ifname=b"]
    with pytest.raises(settings.SettingError, match="TAP2"):
        run(TAP2="b")
    with pytest.raises(settings.SettingError, match="NICS=3"):
        run(NICS=3)


def test_boot_figures_wants_numbers():
    with pytest.raises(SystemExit, match="boot_figures: four is no number of cores"):
        boot_figures.main(["4", "four"])
