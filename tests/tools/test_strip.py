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
