"""Reads a span of any length as a bounded number of points."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Double, ScalarSelect, Select, cast, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from lowbeam.server.store.schema import EstimateRow


@dataclass(frozen=True)
class Point:
    """An estimate in the history of a sender; `utc` in Unix seconds, the rest as in `Estimate`."""

    utc: float
    recording_id: int
    face: int
    valence: float
    arousal: float
    valence_std: float
    arousal_std: float


ROW = EstimateRow
COLUMNS = (
    ROW.utc, ROW.recording_id, ROW.face, ROW.valence, ROW.arousal, ROW.valence_std, ROW.arousal_std,
)  # fmt: skip


async def thinned(
    session: AsyncSession, sender_id: int, since_utc: float, until_utc: float, max_points: int
) -> list[Point]:
    """All estimates of a sender in [since, until), or if there are more than `max_points`, one in each of `max_points`
    equal parts of the time between the first and the last. The index is read at a few places for each part, so a month
    takes as long as an hour."""
    span = (ROW.sender_id == sender_id, ROW.utc >= since_utc, ROW.utc < until_utc)
    ordered = select(*COLUMNS).where(ROW.sender_id == sender_id).order_by(ROW.utc, ROW.recording_id, ROW.number)
    points = [Point(*row) for row in await session.execute(ordered.where(*span).limit(max_points + 1))]
    if len(points) <= max_points:
        return points
    first = await session.scalar(select(ROW.utc).where(*span).order_by(ROW.utc).limit(1))
    last = await session.scalar(select(ROW.utc).where(*span).order_by(ROW.utc.desc()).limit(1))
    if first is None or last is None:  # deleted in the meantime
        return []
    times = list(await session.scalars(_times(sender_id, first, last, max_points)))
    points = [Point(*row) for row in await session.execute(ordered.where(ROW.utc.in_(times)))]
    if len(points) > max_points:  # several people at the same times: thin each person's
        points.sort(key=lambda point: (point.recording_id, point.face, point.utc))
        points = points[:: -(-len(points) // max_points)]
        points.sort(key=lambda point: (point.utc, point.recording_id, point.face))
    return points


def _times(sender_id: int, first: float, last: float, parts: int) -> Select[float | None]:
    """The time of one estimate in each of the parts: the first after a place that differs from part to part, so that
    people who take turns at a regular pace are all met, or else the first of the part."""
    width = max((last - first) / parts, 1e-6)
    part = select(literal(0).label("number")).cte("part", recursive=True)
    part = part.union_all(select(part.c.number + 1).where(part.c.number < parts - 1))
    begin = first + cast(part.c.number, Double) * width
    place = begin + cast(part.c.number * 618 % 1000, Double) * (width / 2000)

    def earliest(since: ColumnElement[float], until: ColumnElement[float]) -> ScalarSelect[float]:
        span = (ROW.sender_id == sender_id, ROW.utc >= since, ROW.utc < until)
        return select(ROW.utc).where(*span).order_by(ROW.utc).limit(1).correlate(part).scalar_subquery()

    time = func.coalesce(earliest(place, begin + width), earliest(begin, place))
    times = select(time.label("utc")).select_from(part).subquery()
    return select(times.c.utc).where(times.c.utc.is_not(None))
