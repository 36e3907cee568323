import pytest
import strip


@pytest.mark.parametrize(
    "name, shown",
    [
        ("_start", "_start"),
        ("os::Loop::run", "os::Loop::run"),
        ("(anonymous namespace)::foo", "(anonymous)::foo"),
        ("os::Extents<64ul>::take", "os::Extents::take"),
        ("a<b<c>, (d)1>::e(f<g>)::h", "a::e::h"),
        ("os::Frame::~Frame", "os::Frame::~Frame"),
        ("a::operator()(int)::'lambda'(b const&)::__invoke", "a::operator()::'lambda'::__invoke"),
        ("a<b> c::d<e>(f)::operator<=>", "c::d::operator<=>"),
        ("a::operator<<<int>", "a::operator<<"),
        ("operator new", "operator_new"),
        ("a::operator unsigned long", "a::operator_unsigned_long"),
    ],
)
def test_a_name_is_without_parameters_and_template_arguments(name, shown):
    assert strip.shown(name) == shown


def test_of_functions_with_the_same_code_one_name_is_left(monkeypatch):
    lines = "folded t 10 5\nits_twin T 10 5\nfigure d 20 8\nother t 30 1\n"
    monkeypatch.setattr(strip, "output_of", lambda *_: lines)
    assert strip.symbols("program") == (["folded", "other"], ["its_twin", "figure"])
