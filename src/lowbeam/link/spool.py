"""The spool: the coded faces that the receiver has not stored yet, in memory or in a SQLite file.

A face is spooled before it is sent. A spool in a file survives kill -9 and a restart of the machine; what it holds of
earlier runs is sent after the faces of this one have begun.
"""

import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from lowbeam.codec import TrackHeader
from lowbeam.codec.cues import BoxCue, parse_cue
from lowbeam.errors import OutputError, reason
from lowbeam.link.messages import KEY_BYTES
from lowbeam.link.records import FaceRecord

MOST_BYTES = 64 * 2**20  # of coded faces: at 4 kbit/s more than a day
FILE_NAME = "spool.sqlite"
SCHEMA = """
CREATE TABLE IF NOT EXISTS recordings (
    id INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, started_ms INTEGER NOT NULL, name TEXT NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0, ended INTEGER NOT NULL DEFAULT 0, count INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS headers (
    recording INTEGER NOT NULL, id INTEGER NOT NULL, codec TEXT NOT NULL, scale INTEGER NOT NULL,
    padding INTEGER NOT NULL, config BLOB NOT NULL, PRIMARY KEY (recording, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS faces (
    recording INTEGER NOT NULL, number INTEGER NOT NULL, before INTEGER, time_ms INTEGER NOT NULL,
    is_key INTEGER NOT NULL, track INTEGER NOT NULL, header INTEGER NOT NULL, box TEXT, data BLOB NOT NULL,
    PRIMARY KEY (recording, number)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS keys_of_tracks ON faces (recording, track, is_key, number);
"""


@dataclass(frozen=True)
class SpooledRecording:
    """A recording in the spool. `key` identifies it for the receiver; `started_ms` is Unix time; `ended` tells whether
    its sender ended it itself."""

    id: int
    key: bytes
    started_ms: int
    name: str


class Spool:
    """The faces of one or more recordings, at most `most_bytes`; of more, the oldest groups of faces are dropped.

    `folder` is where the file is kept, None for memory. Only one process may use a folder. Raises `OutputError`.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, most_bytes: int = MOST_BYTES) -> None:
        self._name = "the spool" if folder is None else os.fspath(folder)
        self._most_bytes = most_bytes
        with self._errors():
            if folder is not None:
                Path(folder).mkdir(parents=True, exist_ok=True)
            place = ":memory:" if folder is None else str(Path(folder) / FILE_NAME)
            self._db = sqlite3.connect(place, isolation_level=None, check_same_thread=False, timeout=0.5)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA secure_delete = ON")
            self._db.executescript(SCHEMA)
            (self._bytes,) = self._db.execute("SELECT COALESCE(SUM(LENGTH(data)), 0) FROM faces").fetchone()

    def _errors(self) -> "_SpoolErrors":
        return _SpoolErrors(self._name)

    def begin(self, name: str) -> SpooledRecording:
        """Begin a recording, with a random key."""
        key, started_ms = os.urandom(KEY_BYTES), round(time.time() * 1000)
        with self._errors():
            cursor = self._db.execute(
                "INSERT INTO recordings (key, started_ms, name) VALUES (?, ?, ?)", (key, started_ms, name)
            )
        assert cursor.lastrowid is not None
        return SpooledRecording(cursor.lastrowid, key, started_ms, name)

    def recordings(self) -> list[SpooledRecording]:
        """All recordings, in order of their start."""
        with self._errors():
            rows = self._db.execute("SELECT id, key, started_ms, name FROM recordings ORDER BY id").fetchall()
        return [SpooledRecording(*row) for row in rows]

    def add_header(self, recording: int, header_id: int, header: TrackHeader) -> None:
        """Keep a header of a recording."""
        row = recording, header_id, header.codec, header.scale, header.padding, header.config
        with self._errors():
            self._db.execute("INSERT OR IGNORE INTO headers VALUES (?, ?, ?, ?, ?, ?)", row)

    def headers(self, recording: int) -> dict[int, TrackHeader]:
        """The headers of a recording by their ids."""
        with self._errors():
            rows = self._db.execute(
                "SELECT id, codec, scale, padding, config FROM headers WHERE recording = ?", (recording,)
            ).fetchall()
        return {row[0]: TrackHeader(*row[1:]) for row in rows}

    def add(self, recording: int, face: FaceRecord) -> None:
        """Keep a face."""
        box = None if face.box_cue is None else str(face.box_cue)
        row = (
            recording, face.number, face.before, face.time_ms, face.is_key, face.track, face.header, box, face.data
        )  # fmt: skip
        with self._errors():
            self._db.execute("INSERT OR IGNORE INTO faces VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._bytes += len(face.data)
        while self._bytes > self._most_bytes and self._drop_oldest():
            pass

    def end(self, recording: int, count: int) -> None:
        """The recording is complete, with `count` faces."""
        with self._errors():
            self._db.execute("UPDATE recordings SET ended = 1, count = ? WHERE id = ?", (count, recording))

    def first(self, recording: int) -> int:
        """The first number that can still be sent: those before were stored, or dropped."""
        with self._errors():
            (found,) = self._db.execute("SELECT MIN(number) FROM faces WHERE recording = ?", (recording,)).fetchone()
            (gone,) = self._db.execute("SELECT gone FROM recordings WHERE id = ?", (recording,)).fetchone()
        return int(gone if found is None else found)

    def count(self, recording: int) -> int:
        """The number of faces that the recording has had."""
        with self._errors():
            (last,) = self._db.execute("SELECT MAX(number) FROM faces WHERE recording = ?", (recording,)).fetchone()
            ended, count, gone = self._db.execute(
                "SELECT ended, count, gone FROM recordings WHERE id = ?", (recording,)
            ).fetchone()
        return int(count if ended else max(gone, -1 if last is None else last) + (last is not None))

    def faces(self, recording: int, first: int, most: int) -> list[FaceRecord]:
        """At most `most` faces from the number `first` on, in order."""
        with self._errors():
            rows = self._db.execute(
                "SELECT number, before, time_ms, is_key, track, header, box, data FROM faces"
                " WHERE recording = ? AND number >= ? ORDER BY number LIMIT ?",
                (recording, first, most),
            ).fetchall()
        return list(map(_face, rows))

    def needed_from(self, recording: int, stored: int) -> int:
        """The first face that a receiver needs which has stored those before `stored` but lost its decoders: the
        earliest of the last key faces of the tracks that go on."""
        with self._errors():
            (found,) = self._db.execute(
                "SELECT MIN(last) FROM (SELECT MAX(number) AS last FROM faces WHERE recording = :recording AND is_key"
                " AND number < :stored AND track IN (SELECT DISTINCT track FROM faces WHERE recording = :recording"
                " AND number >= :stored) GROUP BY track)",
                {"recording": recording, "stored": stored},
            ).fetchone()
        return stored if found is None else int(found)

    def forget(self, recording: int, stored: int, open_tracks: frozenset[int]) -> None:
        """The faces before `stored` are stored by the receiver. Those from the last key face of each of `open_tracks`
        on are kept: a receiver that restarts needs them."""
        keep = stored
        with self._errors():
            for track in open_tracks:
                (key,) = self._db.execute(
                    "SELECT MAX(number) FROM faces WHERE recording = ? AND track = ? AND is_key AND number < ?",
                    (recording, track, stored),
                ).fetchone()
                keep = keep if key is None else min(keep, key)
            self._delete(recording, min(keep, self.needed_from(recording, stored)))

    def remove(self, recording: int) -> None:
        """Forget a recording that is stored as a whole."""
        with self._errors():
            self._delete(recording, 2**62)
            self._db.execute("DELETE FROM headers WHERE recording = ?", (recording,))
            self._db.execute("DELETE FROM recordings WHERE id = ?", (recording,))

    def _delete(self, recording: int, before: int) -> None:
        (size,) = self._db.execute(
            "SELECT COALESCE(SUM(LENGTH(data)), 0) FROM faces WHERE recording = ? AND number < ?", (recording, before)
        ).fetchone()
        self._db.execute("DELETE FROM faces WHERE recording = ? AND number < ?", (recording, before))
        self._bytes -= size

    def _drop_oldest(self) -> bool:
        """Drop the faces of the oldest recording up to its second key face; returns whether there were any."""
        with self._errors():
            row = self._db.execute("SELECT recording, MIN(number) FROM faces GROUP BY recording LIMIT 1").fetchone()
            if row is None:
                return False
            recording, first = row
            (key,) = self._db.execute(
                "SELECT MIN(number) FROM faces WHERE recording = ? AND is_key AND number > ?", (recording, first)
            ).fetchone()
            before = first + 1 if key is None else key
            self._db.execute("UPDATE recordings SET gone = MAX(gone, ?) WHERE id = ?", (before, recording))
            self._delete(recording, before)
        return True

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class _SpoolErrors:
    """Turns errors of SQLite and the file system into `OutputError`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise OutputError(f"{self._name} is in use by another lowbeam send; give each its own --spool") from error
        if isinstance(error, sqlite3.Error | OSError):
            raise OutputError(f"{self._name} cannot be written: {reason(error)}") from error


def _face(row: tuple[int, int | None, int, int, int, int, str | None, bytes]) -> FaceRecord:
    number, before, time_ms, is_key, track, header, box, data = row
    cue = None if box is None else parse_cue(box.encode())
    assert cue is None or isinstance(cue, BoxCue)
    return FaceRecord(number, before, time_ms, bool(is_key), track, header, cue, data)
