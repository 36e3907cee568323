"""From power-on to the prompt: stages that say so, any number of cores, and what may be lacking."""
import re

import pytest
from clients import cores, get, pattern
from conftest import wait_until_ready

STAGES = [
    r"skerry boot: 32-bit entry", r"skerry boot: long mode", r"skerry boot: memory map: \d+ MiB",
    r"skerry boot: ACPI: \d+ cores, local APIC [0-9a-f]+, I/O APIC [0-9a-f]+",
    r"skerry boot: bundle: \d+ entries", r"skerry boot: CPU driver loaded at [0-9a-f]+",
    r"skerry core 0: own page tables", r"skerry core 0: TSC \d+ kHz",
    r"skerry core 0: entering init", r"init\] init runs", r"init\] memory starts",
    r"init\] monitor starts", r"init\] spawn starts",
]  # fmt: skip


def assert_in_order(text, patterns):
    position = 0
    for wanted in patterns:
        found = re.compile(wanted).search(text, position)
        assert found, f"/{wanted}/ does not follow\n{text[position : position + 2000]}"
        position = found.end()


def assert_all_up(guest, count):
    table = cores(guest)
    assert [row["core"] for row in table] == [str(i) for i in range(count)]
    assert {row["state"] for row in table} == {"up"}
    assert all(int(row["calls"]) > 0 for row in table)


def address(guest):
    return "127.0.0.1", guest.port("tcp:80")


def assert_page(guest, count):
    status, _, body = get(address(guest), "/")
    assert status == 200
    for core in range(count):
        assert f"Core {core}<" in body.decode()
    assert f"Core {count}<" not in body.decode()


def test_four_cores_reach_the_prompt_by_stages_that_say_so(guest):
    assert_in_order(guest.text, STAGES)
    assert_all_up(guest, 4)
    assert_page(guest, 4)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_any_number_of_cores_comes_up(boot, count):
    one = wait_until_ready(boot(CORES=count))
    assert_in_order(one.text, STAGES)
    assert_all_up(one, count)
    assert_page(one, count)


def test_sixty_four_cores_come_up(boot):
    """Bounded by events: core boot gives each core its time, and says how many came."""
    many = boot(CORES=64, MEM="2G", NET="none")
    many.wait_for(r"cores 64 of 64 are up", 300)
    many.wait_for(r"Type help", 120)
    assert_all_up(many, 64)
    many.says_nothing_like(r"left out|is refused")


def test_two_runs_at_once_do_not_know_of_each_other(guest, boot):
    other = wait_until_ready(boot(CORES=1))
    assert other.port("tcp:80") != guest.port("tcp:80")
    assert_page(other, 1)
    assert_page(guest, 4)


def test_a_plain_cpu_without_the_newer_features_is_enough(boot):
    plain = wait_until_ready(boot(CORES=2, CPU="qemu64"))
    assert_all_up(plain, 2)
    status, _, body = get(address(plain), "/bytes/5000")
    assert (status, body) == (200, pattern(0, 5000))


def test_cores_that_are_only_announced_are_left_out(boot):
    """The tables name four, two of them not enabled."""
    two = wait_until_ready(boot(CORES=2, QEMU_ARGS="-smp 2,maxcpus=4"))
    assert_all_up(two, 2)


def test_services_for_absent_cores_find_another_place(boot):
    placed = wait_until_ready(boot(CORES=2, PLACE="httpd:7,netd:1"))
    assert_all_up(placed, 2)
    assert_page(placed, 2)


def test_without_a_network_card_one_line_says_so_and_the_rest_runs(boot):
    alone = boot(CORES=2, NIC="none")
    alone.expect(r"Type help", 120)
    alone.wait_for(r"no network card that a driver here knows: the system goes on without", 120)
    assert_all_up(alone, 2)
    for command in ("ifconfig", "ping 10.0.2.2 1"):
        text = alone.command(command)
        assert "is not running" in text or "link down" in text or "cannot be asked" in text
    assert len(re.findall(r"no network card", alone.text)) == 1


def test_too_little_memory_is_said_with_both_numbers(boot):
    small = boot(CORES=4, MEM="64M", NET="none")
    found = small.expect(r"skerry boot: too little memory: (\d+) MiB found, (\d+) MiB needed", 60)
    assert int(found[1]) <= 64 and int(found[2]) == 96 + 6 * 4
    small.expect(r"halted")


def test_the_least_memory_is_enough(boot):
    least = wait_until_ready(boot(CORES=4, MEM="122M"))
    assert_all_up(least, 4)
