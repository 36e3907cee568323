"""The interface language: what it understands, and that it says what it does not."""
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from gen import cpp, dissector, language, page  # noqa: E402


def interface(body, head='interface x "of a test" version 1'):
    return language.parse(f"{head}\n{body}\n")


def refused(body, says, head='interface x "of a test" version 1'):
    with pytest.raises(language.Error, match=says):
        interface(body, head)


def test_reads_all_of_the_real_interfaces():
    files = sorted((ROOT / "lib/interfaces").glob("*.if"))
    assert files
    for file in files:
        model = language.parse(file.read_text())
        assert model.name == file.stem
        assert f"namespace interfaces::{model.name}" in cpp.header(model)
        assert model.messages[0].name in page.document(model)
        assert f'name = "{model.name}"' in dissector.script(model)


def test_the_page_draws_who_says_what():
    text = page.document(interface("call add(a: u32) -> (sum: u64)\nevent late(n: u8)"))
    drawn = [line for line in text.splitlines() if line.startswith("  |")]
    assert drawn[1].endswith("->|") and " add(a) " in drawn[1]
    assert drawn[2].startswith("  |<-") and " (sum) or error " in drawn[2]
    assert drawn[3].startswith("  |<-") and " late(n) " in drawn[3]
    assert len({len(line) for line in drawn}) == 1, "the lifelines are straight"


def test_the_page_says_where_the_bytes_are():
    text = page.document(interface("send a(n: u16, d: bytes<9>, m: u8, c: cap)"))
    rows = [line for line in text.splitlines() if line.startswith("| `a` takes")]
    places = [row.split("|")[2].strip() for row in rows]
    assert places == ["0", "4", "6", "behind"] and "`c: cap`" in rows[0]


def test_a_comment_above_is_the_documentation():
    model = interface("# Adds\n# two numbers.\ncall add(a: u32) -> (sum: u64)\nsend other()")
    assert model.messages[0].doc == "Adds two numbers."
    assert model.messages[1].doc == ""


def test_numbers_count_from_one_in_order():
    model = interface("call a() -> ()\nsend b()\nevent c()")
    assert [(m.kind, m.number) for m in model.messages] == [("call", 1), ("send", 2), ("event", 3)]


def test_sizes_are_those_of_the_wire():
    model = interface("call a(n: u8, t: string<5>, b: bytes<7>) -> (m: mac)")
    assert sum(a.bytes for a in model.messages[0].arguments) == 1 + 5 + 2 + 7


@pytest.mark.parametrize(
    "body, says",
    [
        ("call a(x: u128) -> ()", "no type u128"),
        ("call a(x: string) -> ()", "needs a length"),
        ("call a(x: u32<4>) -> ()", "takes no length"),
        ("call a(x: u8, x: u8) -> ()", "two arguments"),
        ("call a() -> ()\ncall a() -> ()", "declared twice"),
        ("call Big() -> ()", "lower case"),
        ("call a(x: cap, y: cap) -> ()", "one capability a message"),
        ("send a(x: bytes<1100>)", "1024 fit"),
        ("call a(x: u8)", "line 2|line 3"),
    ],
)
def test_says_what_is_wrong(body, says):
    refused(body, says)


@pytest.mark.parametrize(
    "body, says",
    [
        ("call a(x: string<41>) -> ()", "40 fit"),
        ("call a(x: cap, y: cap) -> ()", "one capability"),
        ("event a()", "calls only"),
    ],
)
def test_says_what_local_calls_cannot(body, says):
    refused(body, says, 'interface x "of a test" version 1 transport local')


def test_a_number_fits_its_byte():
    refused("\n".join(f"send m{i}()" for i in range(256)), "255")
