"""Exports of the server: any span of a sender as CSV and Parquet."""

import csv
import io
import re
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from lowbeam.errors import UsageError
from lowbeam.server import export
from lowbeam.server.export import COLUMNS, csv_lines, parquet_chunks
from lowbeam.server.store import Row, Store
from lowbeam.trace import Estimate

pytest_plugins = ["tests.server_database"]
pytestmark = pytest.mark.anyio

START = datetime(2026, 11, 28, 3, 17, 37, tzinfo=UTC).timestamp()


@pytest.fixture
async def sender(store: Store) -> int:
    """A sender with two recordings of 3000 rows, and another sender."""
    sender, _ = await store.accounts.add_sender("bed 4")
    other, _ = await store.accounts.add_sender("bed 5")
    for owner, key, began in ((sender.id, b"1", START), (other.id, b"2", START), (sender.id, b"3", START + 1000)):
        recording = await store.recordings.begin(owner, key, "link", '=HYPERLINK("x")', began)
        await store.recordings.append(recording.id, [a_row(number) for number in range(3000)])
    return sender.id


def a_row(number: int) -> Row:
    estimate = Estimate(number / 8, 7, number / 3000, -0.123456, 0.1, 0.2, 10.0, 20.5, 96.0)
    return Row(number, estimate, START, is_final=True)


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def test_csv_has_every_row_of_the_span_in_order(store: Store, sender: int) -> None:
    text = "".join([lines async for lines in csv_lines(store, sender, START + 100, START + 2000)])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == list(COLUMNS)
    assert [int(row["number"]) for row in rows] == [*range(800, 3000), *range(3000)]
    assert list(rows[1].values()) == [
        "2026-11-28T03:19:17.125Z", "1", "7", "100.1250", "0.2670", "-0.1235", "0.1000", "0.2000", "10.0000", "20.5000",
        "96.0000", "801",
    ]  # fmt: skip


async def test_csv_is_made_while_it_is_read(store: Store, sender: int) -> None:
    parts = [lines async for lines in csv_lines(store, sender, START, START + 2000)]
    assert len(parts) > 3
    assert max(len(part.splitlines()) for part in parts) <= 1000


async def test_csv_of_an_empty_span_has_a_heading(store: Store, sender: int) -> None:
    assert [lines async for lines in csv_lines(store, sender, 0, 1)] == [",".join(COLUMNS) + "\n"]


async def test_csv_has_nothing_that_a_spreadsheet_runs(store: Store, sender: int) -> None:
    text = "".join([lines async for lines in csv_lines(store, sender, START, START + 2)])
    assert re.fullmatch(r"[-0-9.,TZ:\n]+", text.split("\n", 1)[1])


async def test_parquet_has_every_row_of_the_span_in_order(
    store: Store, sender: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    monkeypatch.setattr(export, "GROUP", 2000)
    parts = [part async for part in parquet_chunks(store, sender, START + 100, START + 2000)]
    assert len(parts) > 2
    table = pyarrow.parquet.read_table(io.BytesIO(b"".join(parts)))
    assert table.column_names == list(COLUMNS)
    assert table["number"].to_pylist() == [*range(800, 3000), *range(3000)]
    second = table.slice(1, 1).to_pylist()[0]
    assert second["utc"] == datetime(2026, 11, 28, 3, 19, 17, 125000, tzinfo=UTC)
    assert {name: second[name] for name in a_row(801).estimate._fields} == a_row(801).estimate._asdict()


async def test_parquet_of_an_empty_span_can_be_read(store: Store, sender: int) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(await joined(parquet_chunks(store, sender, 0, 1))))
    assert (table.num_rows, table.column_names) == (0, list(COLUMNS))


async def test_parquet_without_pyarrow_is_refused_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"lowbeam\[tables\]"):
        parquet_chunks(store, 1, 0, 1)
