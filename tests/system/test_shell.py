"""The shell's commands, typed; domains that go wrong; and that the rest never notices."""
import re

import pytest
from clients import cores, domains, outcome, page, rows, spawn
from conftest import wait_until_ready

SERVICES = {"console", "pci", "netd", "httpd", "netsvc", "shell", "e1000"}
PLACES = {"console": 0, "shell": 0, "pci": 1, "e1000": 1, "netd": 2, "httpd": 3, "netsvc": 3}


def test_help_lists_every_command(guest):
    text = guest.command("help")
    for name in ("help", "ps", "cores", "names", "ifconfig", "ping", "netstat", "spawn", "kill",
                 "log", "halt"):  # fmt: skip
        assert re.search(rf"^{name}\b", text, re.M), name


def test_ps_shows_the_services_where_they_were_placed(guest):
    running = {d["name"]: int(d["id"].split(".")[0]) for d in domains(guest)
               if d["state"] == "running"}  # fmt: skip
    assert SERVICES <= set(running)
    assert {name: running[name] for name in PLACES} == PLACES


def test_cores_shows_the_work_of_each(guest):
    table = cores(guest)
    assert [row["state"] for row in table] == ["up"] * 4
    assert len({row["APIC"] for row in table}) == 4
    assert all(int(row["messages"]) > 0 for row in table[1:])
    assert int(table[0]["line"]) == 0, "the shell is there"
    assert all(int(row["line"]) > 0 for row in table[1:]), "what a message costs was measured"


def test_names_shows_every_service_and_its_core(guest):
    table = {row["name"]: row["core"] for row in rows(guest.command("names"), "name", "core")}
    for name, core in {"console": 0, "pci": 1, "nic.0": 1, "net": 2, "netctl": 2}.items():
        assert table[name] == str(core)
    assert {f"spawn.{i}" for i in range(4)} <= set(table)


def test_ifconfig_shows_the_address_and_where_it_is_from(guest):
    text = guest.command("ifconfig")
    assert "52:54:00:77:00:02" in text and "link up" in text
    assert "10.0.2.15/24" in text and "DHCP" in text and "gateway 10.0.2.2" in text


def test_ping_reaches_the_gateway(guest):
    text = guest.command("ping 10.0.2.2 2")
    line = r"56 bytes from 10\.0\.2\.2: sequence \d+, ttl \d+, [\d.]+ ms"
    assert len(re.findall(line, text)) == 2
    assert "2 sent, 2 answered" in text


def test_ping_of_nobody_says_so(guest):
    text = guest.command("ping 10.0.2.77 1")
    assert re.search(r"10\.0\.2\.77 (does not answer|cannot be asked)", text)
    assert "1 sent, 0 answered" in text


def test_control_c_ends_a_long_command(guest):
    guest.position = len(guest.text)
    guest.send("ping 10.0.2.2 100000")
    guest.expect(r"sequence 1,")
    guest.send("\x03", end="")
    guest.expect(r"\^C\s*\nskerry> ")
    assert "this list" in guest.command("help")


def test_netstat_shows_listeners_neighbours_and_counters(guest):
    assert page(guest) == 200
    text = guest.command("netstat")
    for port in (80, 7, 9, 13, 19, 5001):
        assert re.search(rf"^tcp\s+0\.0\.0\.0:{port}\s+\S+\s+LISTEN", text, re.M), port
    assert re.search(r"^10\.0\.2\.2\s+[0-9a-f:]{17}\s+reachable", text, re.M)
    assert re.search(r"^tcp_accepted\s+\d+", text, re.M)


def test_log_repeats_the_console(guest):
    """The last 32 KiB of it, prompts among them; what this test makes it say is never too old."""
    said = guest.command("repeat-this").strip()
    guest.send("log")
    guest.expect(r"log\s*\n")
    guest.expect(r"skerry> repeat-this\s*\n" + re.escape(said))
    guest.command("and-no-more")  # all of the log has passed


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("nonsense", 'there is no command "nonsense": type help'),
        ("ping", "ping needs an address"),
        ("ping here", '"here" is no IPv4 address'),
        ("ping 10.0.2.2 many", "ping takes a number of times"),
        ("spawn", "spawn needs a name and a core"),
        ("spawn nobody on 1", 'there is no image "nobody" in the bundle'),
        ("spawn httpd on 9", "there is no core 9: this machine has 0 to 3"),
        ("spawn httpd on x", '"x" is no core'),
        ("spawn aaaaaaaaaaaaaaaaa on 1", "is too long for a name"),
        ("kill", "kill needs one domain"),
        ("kill 7", "kill needs the core as well"),
        ("kill 1.9999", "there is no domain 1.9999: type ps"),
        ("kill 9.1", "there is no core 9"),
        ("kill nobody", 'no domain "nobody" is running'),
        ("help me", "help takes nothing after it"),
    ],
)
def test_bad_input_gets_one_sentence(guest, line, sentence):
    assert sentence in guest.command(line)


def test_a_domain_that_ends_is_reported_with_its_code(guest):
    for arguments, code in (("", 0), ("exit 7", 7)):
        number = spawn(guest, f"faulty on 2 {arguments}".strip())
        guest.expect(rf"\[2 [\d.]+ spawn\] domain faulty ended with code {code}\n")
        assert outcome(guest, number) == ("exited", str(code))


FAULTS = [
    ("read", r"read of 0000000000000010", "read_of_nothing"),
    ("kernel", r"read of ffffffff80000000", "read_of_the_cpu_driver"),
    ("write", r"write of 0000000\d[0-9a-f]{8}", "write_to_code"),
    ("jump", r"execute of 0000000\d[0-9a-f]{8}", "go_wrong"),
    ("stack", r"write of 0000000000c[0-9a-f]{5}", "overflow_the_stack"),
    ("privileged", r"general protection", "privileged"),
    ("undefined", r"(invalid|undefined) (opcode|instruction)", "undefined"),
    ("divide", r"divide error", "divide_by_zero"),
]


@pytest.mark.parametrize("how, what, function", FAULTS, ids=[f[0] for f in FAULTS])
def test_a_fault_is_reported_with_names_and_hurts_nobody_else(guest, how, what, function):
    number = spawn(guest, f"faulty on 2 {how}")
    guest.expect(rf"spawn\] domain faulty on core 2 faulted: {what}")
    guest.expect(rf"spawn\]   (in|from) [0-9a-f]+ faulty::{function}\b\S*\+[0-9a-f]+")
    if how != "stack":  # there the callers' frames are beyond what is shown
        guest.expect(r"spawn\]   from [0-9a-f]+ domain_main\b\S*\+[0-9a-f]+")
    assert outcome(guest, number)[0] == "faulted"
    assert SERVICES <= {d["name"] for d in domains(guest) if d["state"] == "running"}
    assert page(guest) == 200


def test_a_broken_invariant_says_which(guest):
    start = len(guest.text)
    number = spawn(guest, "faulty on 2 invariant")
    guest.expect(r"spawn\] domain faulty says: .*tests/hostile/usr/faulty/main\.cpp")
    guest.expect(r"domain faulty ended with code -1|faulty on core 2 faulted")
    assert outcome(guest, number)[0] in ("exited", "faulted")
    assert "asked for by the argument" in guest.text[start:]
    assert page(guest) == 200


def test_the_web_server_can_be_killed_and_spawned_again(boot):
    guest = wait_until_ready(boot(CORES=2, FORWARD="tcp:7"))
    assert page(guest) == 200
    assert "is killed" in guest.command("kill httpd")
    assert next(d for d in domains(guest) if d["name"] == "httpd")["state"] == "killed"
    with pytest.raises(OSError):
        page(guest)
    assert "ping" in guest.command("help") and "1 answered" in guest.command("ping 10.0.2.2 1")
    guest.position = len(guest.text)
    assert re.search(r"1\.\d+ httpd runs", guest.command("spawn httpd on 1"))
    guest.position = guest.text.rindex("spawn httpd on 1")
    guest.expect(r"httpd\] port 80 open")
    assert page(guest) == 200


def test_halt_switches_the_machine_off(boot):
    guest = boot(CORES=2, NET="none")
    guest.expect(r"Type help", 120)
    guest.expect(r"skerry> ")
    guest.send("halt")
    guest.expect(r"the machine halts")
    assert guest.wait(60) == 0
