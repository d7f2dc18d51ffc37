"""The layers of a recording are fused as they arrive at the server, in any order."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")

from lowbeam.estimator import NEAR_S, fuse
from lowbeam.face import FaceEstimate
from lowbeam.server.hub import LiveStream
from lowbeam.server.layered import KEPT_S, LayeredEstimates
from lowbeam.server.store import Row
from lowbeam.trace import Estimate

LEAN, RICH = 0, 2


def row(number: int, time_s: float, valence: float, std: float = 0.2, person: int = 0, place: int = 0) -> Row:
    return Row(number, Estimate(time_s, person, valence, 0.0, std, std, 1.0, 2.0, 90.0), 1.7e9, True, b"png", place)


def test_an_estimate_of_pixels_is_fused_with_the_nearest_one_of_the_camera() -> None:
    layered = LayeredEstimates()
    rich = row(1, 1.04, 0.5, std=0.3)
    assert layered.take([(rich, RICH)]) == []
    lean = [row(0, n / 10, n / 100, std=0.1, place=n) for n in range(20)]
    (fused,) = layered.take([(one, LEAN) for one in lean])
    together = fuse(FaceEstimate(0.5, 0.0, 0.3, 0.3), FaceEstimate(0.10, 0.0, 0.1, 0.1))
    assert fused.estimate == rich.estimate._replace(**together._asdict())
    assert (fused.number, fused.place, fused.face) == (1, 0, b"png")


def test_what_one_layer_alone_has_stays() -> None:
    layered = LayeredEstimates()
    assert layered.take([(row(n, n / 10, 0.0), RICH) for n in range(50)]) == []
    assert layered.take([(row(n, 8 + n / 10, 0.0), LEAN) for n in range(50)]) == []  # of other times
    assert layered.take([(row(n, n / 10, 0.0, person=1), LEAN) for n in range(50)]) == []  # of another person
    assert layered.take([(row(90, 4.9 + 1.1 * NEAR_S, 0.0), LEAN)]) == []


def test_people_who_are_gone_are_forgotten() -> None:
    layered = LayeredEstimates()
    for n in range(1000):
        layered.take([(row(2 * n, n, 0.0, person=n), LEAN), (row(2 * n + 1, n, 0.0, person=n), RICH)])
    assert len(layered._people) <= KEPT_S + 2


TIMES = st.lists(st.integers(0, 4000), min_size=1, max_size=30, unique=True)


@given(rich=TIMES, lean=TIMES, random=st.randoms(use_true_random=False), size=st.integers(1, 9))
def test_the_order_in_which_layers_arrive_does_not_matter(
    rich: list[int], lean: list[int], random: object, size: int
) -> None:
    rows = [(row(n, ms / 1000, n / 50), RICH) for n, ms in enumerate(rich)]
    rows += [(row(100, ms / 1000, -n / 50, std=0.1, place=n), LEAN) for n, ms in enumerate(lean)]

    def found(given: list[tuple[Row, int]]) -> dict[int, float]:
        layered, fused = LayeredEstimates(), {}
        for some in (given[begin : begin + size] for begin in range(0, len(given), size)):
            fused |= {one.number: one.estimate.valence for one in layered.take(some)}
        return fused

    in_order = found(rows)
    shuffled = [*rows]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    lean_s = sorted(ms / 1000 for ms in lean)
    ties = any(abs(abs(a - at / 1000) - abs(b - at / 1000)) < 1e-9 for at in rich for a, b in pairwise(lean_s))
    again = found(shuffled)
    assert set(again) == set(in_order)
    if not ties:  # of two that are equally near, the first in time counts or the one that came
        assert again == in_order


def test_the_page_shows_what_was_fused() -> None:
    live = LiveStream(1, 1, "a", "link", 1.7e9)
    for n in range(10):
        live.see(row(n, n / 5, 0.5).estimate, None, 1.7e9)
    live.refine(row(4, 0.8, 0.1).estimate)
    live.refine(row(4, 0.81, 0.2).estimate)  # not there
    live.refine(row(4, 0.8, 0.3, person=7).estimate)
    assert [one.valence for one in live.people[0].estimates] == [0.5] * 4 + [0.1] + [0.5] * 5
    assert set(live.people) == {0}
