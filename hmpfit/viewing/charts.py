"""Small charts as SVG text for the report: lines over frames, and the strip of statuses. No drawing library needed.

Colors come from the page's style sheet through classes, so that light and dark pages both work.
"""

from collections.abc import Sequence

import numpy as np

from hmpfit.records import STATUS_NAMES, Floats
from hmpfit.viewing.warnings import flagged_ranges

WIDTH, HEIGHT = 720, 140
LEFT, _BOTTOM, _TOP = 44, 22, 20  # LEFT: where the frames begin, for the page's cursor
_TICKS = 4
_FRAME_TICKS, _ROOM_FOR_FIRST, _ROOM_FOR_LAST = 4, 150, 80  # room at the ends for the outermost numbers, on a phone too
_CUT = 1.03  # of the axis's top, where curves are cut off


def line_chart(curves: Sequence[tuple[str, Floats]], unit: str, first: int = 0, label: str = "") -> str:
    """Return an SVG of one or more curves [T] over frames; NaN breaks a line, the top is the 99th percentile.

    `first` is the source's number of the first frame, `label` the chart's name for screen readers; the keyboard
    moves along it as along a slider. A chart whose peaks are cut off at the top says so.
    """
    frames = max(len(values) for _, values in curves)
    known = np.concatenate([values[np.isfinite(values)] for _, values in curves])
    top = _rounded(float(np.percentile(known, 99)) if len(known) else 1.0)
    parts = [_opening("chart", HEIGHT, frames, first, f"{label}, {unit}" if label else unit)]
    for tick in range(_TICKS + 1):
        value = top * tick / _TICKS
        y = _y(value, top)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>')
        if tick % 2 == 0:
            parts.append(f'<text class="tick" x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    parts += _frame_axis(first, frames)
    parts.append(f'<text class="tick" x="{LEFT + 8}" y="{_TOP - 3}">{unit}</text>')
    if (known > top * _CUT).any():
        note = f"peaks up to {known.max():.3g} are cut off"
        parts.append(f'<text class="tick" x="{WIDTH}" y="{_TOP - 3}" text-anchor="end">{note}</text>')
    for name, values in curves:
        parts.append(f'<path class="curve {name}" d="{_path(values, top, frames)}"/>')
    parts.append(f'<line class="cursor" x1="{LEFT}" x2="{LEFT}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/></svg>')
    return "".join(parts)


def status_strip(status: Floats, first: int = 0, label: str = "status") -> str:
    """Return an SVG strip of the statuses [T] over frames, a stretch each, told apart by color and pattern.

    `first` and `label` as in `line_chart`.
    """
    frames = len(status)
    parts = [_opening("strip", 22, frames, first, label)]
    for code, name in enumerate(STATUS_NAMES):
        for a, b in flagged_ranges(status == code):
            x, width = _x(a, frames + 1), (WIDTH - LEFT) * (b - a) / frames
            title = f"{name}: frames {first + a} to {first + b - 1}"
            parts.append(
                f'<rect class="{name}" x="{x:.2f}" width="{width:.2f}" height="22"><title>{title}</title></rect>'
            )
    parts.append(f'<line class="cursor" x1="{LEFT}" x2="{LEFT}" y1="0" y2="22"/></svg>')
    return "".join(parts)


def _opening(kind: str, height: int, frames: int, first: int, label: str) -> str:
    """Return the tag that opens a chart: a slider over the source's frames, for the keyboard and for screen readers."""
    last = first + frames - 1
    return (
        f'<svg class="{kind}" viewBox="0 0 {WIDTH} {height}" data-frames="{frames}" data-first="{first}" role="slider" '
        f'tabindex="0" aria-label="{label}" aria-valuemin="{first}" aria-valuemax="{last}" aria-valuenow="{first}" '
        f'aria-valuetext="frame {first}">'
    )


def _frame_axis(first: int, frames: int) -> list[str]:
    """Return the numbers below a chart: the source's first and last frame, and round ones between."""
    y, last = HEIGHT - 6, first + frames - 1
    parts = [
        f'<text class="tick" x="{LEFT}" y="{y}">frame {first}</text>',
        f'<text class="tick" x="{WIDTH}" y="{y}" text-anchor="end">{last}</text>',
    ]
    step = max(int(_rounded(max(frames, 2) / (_FRAME_TICKS + 1))), 1)
    for frame in range(first + step - first % step, last, step):
        x = _x(frame - first, frames)
        if LEFT + _ROOM_FOR_FIRST < x < WIDTH - _ROOM_FOR_LAST:
            parts.append(f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{frame}</text>')
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
    return parts


def _path(values: Floats, top: float, frames: int) -> str:
    text: list[str] = []
    for a, b in flagged_ranges(np.isfinite(values)):
        points = [f"{_x(i, frames):.1f} {_y(min(float(values[i]), top * _CUT), top):.1f}" for i in range(a, b)]
        text.append("M" + "L".join(points if len(points) > 1 else points * 2))
    return "".join(text)


def _x(frame: int, frames: int) -> float:
    return LEFT + (WIDTH - LEFT) * frame / max(frames - 1, 1)


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * value / top


def _rounded(value: float) -> float:
    """Round up to 1, 2, 4, 5 or 8 times a power of ten, so that the quarters are short numbers."""
    value = max(value, 1e-6)
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.9999))
