"""`hmpfit report A B`: one self-contained page on two runs of one video: what differs, frame by frame and in settings.

Separate from the report of one run, whose parts it uses.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError
from hmpfit.exporters.animation import hand_labels
from hmpfit.hands.matching import match_hands, pick_hands
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult, read_result
from hmpfit.viewing.charts import LEFT, WIDTH, line_chart
from hmpfit.viewing.pages import in_base64, write_page
from hmpfit.viewing.report import SETTINGS, acceleration_mm, flat, lead, read_run_summary
from hmpfit.viewing.warnings import cautions, medians, residuals_px

_NAMES = ("first", "second")  # classes of the style sheet, and what the page calls the two


@dataclass(frozen=True)
class ComparedRun:
    """A run of the two, with its frames laid into those of both: NaN where it has none."""

    folder: Path
    stored: StoredResult
    summary: Mapping[str, Any]
    start: int  # the place of its first frame
    frames: int  # of both together

    @classmethod
    def read(cls, folder: Path) -> "ComparedRun":
        """Read a run folder. Raises InputError when it holds no finished run."""
        stored = read_result(folder)
        summary = read_run_summary(folder, len(stored.motion.is_right))
        return cls(folder, stored, summary, 0, len(stored.tracks.times_s))

    @property
    def first_frame(self) -> int:
        """The source's number of its first frame."""
        return int(self.summary.get("first_frame") or 0)

    def laid(self, values: Floats) -> Floats:
        """Return per-frame values [H, T, ...] in the frames of both runs."""
        out = np.full((len(values), self.frames, *values.shape[2:]), np.nan)
        out[:, self.start : self.start + values.shape[1]] = values
        return out


def write_comparison(first: Path, second: Path, out: Path | None = None) -> Path:
    """Write the page on two run folders to `out` (default: `comparison.html` in the first) and return its path.

    Hands are the same where they lie together in the picture. Raises InputError when a folder holds no finished run, or
    the two have no frame in common.
    """
    runs = _aligned(ComparedRun.read(first), ComparedRun.read(second))
    content = {**_content(*runs), "left": LEFT, "width": WIDTH}
    return write_page("comparison.html.j2", content, out or first / "comparison.html")


def _aligned(a: ComparedRun, b: ComparedRun) -> tuple[ComparedRun, ComparedRun]:
    first, last = min(a.first_frame, b.first_frame), max(run.first_frame + run.frames for run in (a, b))
    if max(a.first_frame, b.first_frame) >= min(run.first_frame + run.frames for run in (a, b)):
        raise InputError(f"'{a.folder}' and '{b.folder}' have no source frame in common; compare runs of one video.")
    made = [ComparedRun(run.folder, run.stored, run.summary, run.first_frame - first, last - first) for run in (a, b)]
    return made[0], made[1]


def _content(a: ComparedRun, b: ComparedRun) -> dict[str, Any]:
    first = a.first_frame - a.start
    rows = match_hands(
        b.laid(b.stored.landmarks_px), b.stored.motion.is_right, a.laid(a.stored.landmarks_px), a.stored.motion.is_right
    )
    joints_a, joints_b = a.laid(a.stored.joints), pick_hands(b.laid(b.stored.joints), rows)
    labels = hand_labels(a.stored)
    sides = ["right" if right else "left" for right in a.stored.motion.is_right]
    camera_mm = 1000 * np.linalg.norm(joints_a - joints_b, axis=-1).mean(-1)
    about_a, about_b = (joints - joints[:, :, :1] for joints in (joints_a, joints_b))
    wrist_mm = 1000 * np.linalg.norm(about_a - about_b, axis=-1)[..., 1:].mean(-1)
    pairs = [(label, hand, int(row)) for hand, (label, row) in enumerate(zip(labels, rows, strict=True))]
    return {
        "title": " beside ".join(_names(a, b)),
        "first": first,
        "runs": [_run(run, name, key) for run, name, key in zip((a, b), _names(a, b), _NAMES, strict=True)],
        "other_video": a.summary.get("video") != b.summary.get("video"),
        "hands": [{"label": label, "side": side} for label, side in zip(labels, sides, strict=True)],
        "alone": [label for label, _, row in pairs if row < 0],
        "more": len(b.stored.motion.is_right) - int((rows >= 0).sum()),
        "wrist_chart": _chart(sides, wrist_mm, "millimeters", first, "distance of the joints, wrists on each other"),
        "camera_chart": _chart(sides, camera_mm, "millimeters", first, "distance of the joints in the camera's frame"),
        "charts": [_both(a, b, label, hand, row, first) for label, hand, row in pairs if row >= 0],
        "figures": _figures(a, b, pairs, wrist_mm, camera_mm),
        "settings": _differences(a.summary, b.summary),
    }


def _names(a: ComparedRun, b: ComparedRun) -> tuple[str, str]:
    """Return what the page calls the runs: their folders' names, with their parents' where these are alike."""
    one, two = a.folder.resolve(), b.folder.resolve()
    return (one.name, two.name) if one.name != two.name else ("/".join(one.parts[-2:]), "/".join(two.parts[-2:]))


def _run(run: ComparedRun, name: str, key: str) -> dict[str, Any]:
    times_s = run.stored.tracks.times_s - run.stored.tracks.times_s[0]
    overlay = run.folder / "overlay.mp4"
    return {
        "name": name,
        "key": key,
        "lead": lead(run.summary),
        "first": run.first_frame,
        "times": json.dumps([round(float(time), 4) for time in times_s]),
        "video": in_base64(overlay) if overlay.is_file() else (),
        "warnings": cautions(run.stored, run.summary),
    }


def _chart(classes: list[str], values: Floats, unit: str, first: int, label: str) -> str:
    if not np.isfinite(values).any():
        return ""
    return line_chart(list(zip(classes, values, strict=True)), unit, first, label)


def _both(a: ComparedRun, b: ComparedRun, label: str, hand: int, row: int, first: int) -> dict[str, str]:
    """Return the charts of one hand in which both runs have a curve."""

    def curves(of: Any) -> Floats:
        return np.stack((a.laid(of(a.stored))[hand], b.laid(of(b.stored))[row]))

    names = list(_NAMES)
    off_px = curves(lambda stored: medians(residuals_px(stored)))
    jerky = curves(acceleration_mm)
    return {
        "label": label,
        "residual": _chart(names, off_px, "pixels", first, f"{label} hand: distance from the keypoints"),
        "acceleration": _chart(names, jerky, "mm per frame squared", first, f"{label} hand: acceleration"),
    }


def _figures(
    a: ComparedRun, b: ComparedRun, pairs: list[tuple[str, int, int]], wrist_mm: Floats, camera_mm: Floats
) -> list[tuple[str, ...]]:
    """Return rows: what, of the first run, of the second; what is between the two stands in both columns."""
    rows: list[tuple[str, ...]] = []
    for label, hand, row in pairs:
        told = [a.summary["hands"][hand], b.summary["hands"][row] if row >= 0 else {}]
        for key, what in (("detected", "frames detected"), ("interpolated", "frames filled in between")):
            rows.append((f"{label}: {what}", *(f"{one[key]}" if key in one else "–" for one in told)))
        for key, what in (
            ("reprojection_px", "fit to keypoints, median px"),
            ("hidden_keypoint_px", "withheld, median px"),
        ):
            found = [one.get(key) for one in told]
            if any(found):
                rows.append((f"{label}: {what}", *(f"{one['median']:.2f}" if one else "–" for one in found)))
        jerky = [acceleration_mm(a.stored)[hand], acceleration_mm(b.stored)[row] if row >= 0 else np.array([np.nan])]
        rows.append((f"{label}: acceleration, median", *(_number(one) for one in jerky)))
        if row >= 0:
            apart = f"{_number(wrist_mm[hand])} about the wrist, {_number(camera_mm[hand])} from the camera"
            rows.append((f"{label}: apart, median mm", apart, ""))
    seconds = [run.summary.get("seconds", {}).get("total") for run in (a, b)]
    rows.append(("seconds of the run", *(f"{one:.1f}" if one is not None else "–" for one in seconds)))
    return rows


def _number(values: Floats) -> str:
    return f"{np.nanmedian(values):.2f}" if np.isfinite(values).any() else "–"


def _differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    told = [dict(flat({key: of[key] for key in SETTINGS if key in of and key != "seconds"})) for of in (one, two)]
    names = list(dict.fromkeys([*told[0], *told[1]]))
    rows = [(name, told[0].get(name, "–"), told[1].get(name, "–")) for name in names]
    return [row for row in rows if row[1] != row[2]]
