"""The figures of the time from a camera's frame to the page."""

from typing import Any

import pytest

pytest.importorskip("aioquic", reason="aioquic comes with the extra link")

from benchmarks.link.glass import ages_s, summary


def face(number: int, time_s: float, drawn_after_s: float | None) -> dict[str, Any]:
    """A face that arrives 0.3 s after its frame; one that is not drawn was never sent live."""
    is_shown = drawn_after_s is not None
    after_s = {"due": 0.0, "read": 0.0, "coded": 0.01, "arrived": 0.3, "stored": 0.32}
    after_s |= {"sent": 0.1, "changed": drawn_after_s - 0.01, "drawn": drawn_after_s} if is_shown else {}
    found = {f"{name}_utc": time_s + later_s for name, later_s in after_s.items()}
    return {
        "number": number, "time_ms": round(1000 * time_s), "bytes": 34, "sent_utc": None, "changed_utc": None,
        "drawn_utc": None, **found,
    }  # fmt: skip


def test_the_stages_of_a_face_add_up_and_faces_that_are_not_shown_are_counted() -> None:
    faces = [face(n, n * 0.5, None if n == 3 else 0.35) for n in range(6)]
    found = summary(faces, 4000)
    assert (found["faces"], found["shown"], found["never_sent_live"]) == (6, 5, 1)
    times = {name: taken[0] for name, taken in found["seconds"].items()}
    assert times["own_packet"] == pytest.approx(8 * 100 / 4000)  # 34 bytes and 66 of headers
    assert times["glass_to_page"] == pytest.approx(0.35)
    path = ("read", "coded", "sent", "arrived", "changed", "drawn")
    assert sum(times[name] for name in path) == pytest.approx(times["glass_to_page"])


def test_a_number_ages_until_the_next_is_drawn() -> None:
    ages = ages_s([face(0, 0.0, 0.4), face(1, 1.0, 0.4)])
    assert ages[0] == pytest.approx(0.4)
    assert max(ages) == pytest.approx(1.35, abs=0.06)
