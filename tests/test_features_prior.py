"""The prior of the features codec, in whole numbers, and the file of its tables."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbeam.codec.compact.feature_networks import TABLES
from lowbeam.codec.compact.features import (
    MAX_QP,
)
from lowbeam.codec.compact.head import TICKS_MS
from lowbeam.codec.compact.prior import LatentTables, as_json, load_tables, logistic_table
from lowbeam.codec.compact.range_coding import TOTAL
from lowbeam.errors import ModelError
from tests.feature_packets import K, expected_in_whole_numbers, seeds, ticks


@st.composite
def some_tables(draw: st.DrawFn) -> LatentTables:
    """Tables with any values that an export can write."""
    rng, count = np.random.default_rng(draw(seeds)), len(TICKS_MS)
    scales = 1 / rng.uniform(0.12, draw(st.sampled_from([0.2, 3.0, 40.0])), (3, count + 1, K))
    return LatentTables(
        "any", rng.uniform(0.1, 9, (3, K)).astype(np.float32), rng.integers(-20_000, 20_000, (3, K)),
        rng.integers(0, 1 << 15, (count, K)), np.rint(scales * (1 << 12)).astype(np.int64), logistic_table(),
    )  # fmt: skip


@given(tables=some_tables() | st.just(load_tables(TABLES)), level=st.integers(0, 2), tick=ticks, seed=seeds,
       reach=st.sampled_from([1, 60, 10_000]), is_first=st.booleans())  # fmt: skip
@settings(max_examples=40)
def test_the_prior_is_the_same_in_pythons_integers(
    tables: LatentTables, level: int, tick: int, seed: int, reach: int, is_first: bool
) -> None:
    before = None if is_first else np.random.default_rng(seed).integers(-reach, reach + 1, K)
    base, frequencies = tables.expected(level, tick, before)
    wanted = expected_in_whole_numbers(tables, level, tick, None if before is None else before.tolist())
    assert base.tolist() == wanted[0]
    assert frequencies.tolist() == wanted[1]
    assert np.all(frequencies >= 1)
    assert np.all(frequencies.sum(1) == TOTAL)


def test_the_tables_that_ship_are_sound() -> None:
    tables, count = load_tables(TABLES), len(TICKS_MS)
    assert tables.levels == MAX_QP + 1
    assert tables.gains.shape == tables.centres.shape == (tables.levels, K)
    assert (tables.correlations.shape, tables.scales.shape) == ((count, K), (tables.levels, count + 1, K))
    assert tables.gains.min() > 0
    assert tables.scales.min() > 0
    assert 0 <= tables.correlations.min() <= tables.correlations.max() <= 1 << 15
    assert np.all(np.diff(tables.correlations, axis=0) <= 0)  # the longer ago, the less it tells
    assert np.all(np.diff(tables.gains.mean(1)[::5]) < 0)  # from fine to coarse, on the whole
    assert tables.logistic.tolist() == logistic_table().tolist()
    assert tables.name.isascii()
    assert tables.name.isprintable()
    assert len(tables.name) < 40


def test_tables_are_kept_in_a_file(tmp_path: Path) -> None:
    tables = load_tables(TABLES)
    (tmp_path / "t.json").write_text(as_json(tables))
    found = load_tables(tmp_path / "t.json")
    assert found.name == tables.name
    for name in ("gains", "centres", "correlations", "scales", "logistic"):
        assert np.array_equal(getattr(found, name), getattr(tables, name))
        assert getattr(found, name).dtype == getattr(tables, name).dtype


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"name": "x", "gains": "y"}', '{"name": "x", "gains": [1]}'])
def test_a_file_without_tables_is_one_clear_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tables.json"
    path.write_text(text)
    with pytest.raises(ModelError, match="has no tables of a features codec"):
        load_tables(path)
