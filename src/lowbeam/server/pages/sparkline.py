"""The last minute of valence and arousal as a small SVG, with bands of one standard deviation."""

from collections.abc import Iterable, Sequence

from lowbeam.trace import Estimate

SPAN_S = 60.0
GAP_S = 5.0  # between two estimates, above which the line breaks
MOST_POINTS = 150
WIDTH, HEIGHT, LEFT, EDGE = 320, 104, 22, 6  # of the picture; EDGE above and below


def sparkline(estimates: Sequence[Estimate], until_s: float) -> str:
    """The estimates of the `SPAN_S` before `until_s`."""
    since = until_s - SPAN_S
    shown = [each for each in estimates if each.time_s >= since]
    shown = shown[:: max(1, -(-len(shown) // MOST_POINTS))]
    runs = list(_runs(shown))
    drawn = "".join(
        _band(run, name, since) + _line(run, name, since) for name in ("valence", "arousal") for run in runs
    )
    grid = "".join(
        f'<line x1="{LEFT}" x2="{WIDTH}" y1="{_y(value):.1f}" y2="{_y(value):.1f}" class="grid"/>'
        f'<text x="{LEFT - 4}" y="{_y(value) + 3:.1f}" text-anchor="end">{text}</text>'
        for value, text in ((1, "+1"), (0, "0"), (-1, "−1"))
    )
    label = f"Valence and arousal of the last {SPAN_S:.0f} seconds, with bands of one standard deviation"
    return f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{grid}{drawn}</svg>'


def _runs(estimates: Iterable[Estimate]) -> Iterable[list[Estimate]]:
    run: list[Estimate] = []
    for each in estimates:
        if run and each.time_s - run[-1].time_s > GAP_S:
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _x(time_s: float, since: float) -> float:
    return LEFT + (WIDTH - LEFT) * (time_s - since) / SPAN_S


def _y(value: float) -> float:
    return EDGE + (HEIGHT - 2 * EDGE) * (1 - max(-1.0, min(1.0, value))) / 2


def _points(run: Sequence[Estimate], name: str, since: float, deviations: float) -> list[str]:
    return [
        f"{_x(each.time_s, since):.1f},{_y(getattr(each, name) + deviations * getattr(each, f'{name}_std')):.1f}"
        for each in run
    ]


def _line(run: Sequence[Estimate], name: str, since: float) -> str:
    return f'<polyline class="{name}" points="{" ".join(_points(run, name, since, 0))}"/>'


def _band(run: Sequence[Estimate], name: str, since: float) -> str:
    points = _points(run, name, since, 1) + _points(run, name, since, -1)[::-1]
    return f'<polygon class="{name}" points="{" ".join(points)}"/>'
