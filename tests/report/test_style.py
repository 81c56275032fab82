"""One look for a method in all figures."""

from smifbench.report.style import styles


def test_methods_look_different():
    assert len(set(styles([f"method {number}" for number in range(24)]).values())) == 24


def test_a_look_goes_by_the_place_and_starts_again_after_the_last():
    looks = styles([f"method {number}" for number in range(25)])
    assert looks["method 24"] == looks["method 0"]
    assert styles(["method 0", "another"])["method 0"] == looks["method 0"]


def test_dashes_and_markers_change_when_the_colours_are_used_up():
    looks = list(styles(range(12)).values())
    assert {(look.dashes, look.marker) for look in looks[:6]} == {("-", "o")}
    assert {(look.dashes, look.marker) for look in looks[6:]} == {("--", "s")}
