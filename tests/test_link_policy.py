"""The policy of a live link."""

import math

import numpy as np

from lowbeam.codec.operating_table import ladder
from lowbeam.face import Box, Face
from lowbeam.link.policy import SMALLER_FROM_BPS, LinkPolicy, for_delay


def test_a_link_takes_the_points_of_half_its_budget_but_for_the_smallest_budgets() -> None:
    rungs = ladder(4000.0)
    for entry, shifted in zip(rungs, for_delay(rungs), strict=True):
        assert shifted.point == entry.point
        assert shifted.bps == (entry.bps if entry.bps <= SMALLER_FROM_BPS else 2 * entry.bps)
    budgets = [entry.bps for entry in for_delay(rungs)]
    assert budgets == sorted(budgets)


def test_the_point_follows_the_budget() -> None:
    policy, box, pixels = LinkPolicy(), Box(0.0, 0.0, 96.0), np.zeros((96, 96), np.uint8)
    policy.follow(1000.0, False, 0.0)
    first = Face(0.0, 1, box, pixels)
    assert policy.wants(first, math.inf, True)
    assert policy.admits(first, 100, 10, True)
    low = policy.point
    policy.follow(64_000.0, False, 5.0)
    assert policy.point == low  # until a face is due
    policy.wants(Face(5.0, 1, box, pixels), math.inf, False)
    assert (policy.point.scale, policy.point.qp) < (low.scale, low.qp)  # a larger face, or a finer one


def test_no_frame_is_due_while_the_link_is_choked() -> None:
    policy = LinkPolicy()
    policy.follow(4000.0, True, 0.0)
    assert not policy.looks_at(0.0)
    assert policy.held_back == 1
    policy.follow(4000.0, False, 0.5)
    assert policy.looks_at(0.5)
