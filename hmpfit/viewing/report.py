"""`report.html`: one self-contained page on a run, made from its `result.npz`, `result.json` and overlay.

The page's words and looks are in `report.html.j2`; here its numbers are gathered. No network is needed to read it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.exporters.animation import hand_labels
from hmpfit.geometry.rigid_transforms import apply
from hmpfit.records import DETECTED, Floats, hand_names
from hmpfit.results.npz import StoredResult, read_result
from hmpfit.results.summary import read_summary
from hmpfit.results.trust import trusted_frames
from hmpfit.skeleton import OPENPOSE_21
from hmpfit.viewing.charts import LEFT, WIDTH, line_chart, status_strip
from hmpfit.viewing.map_chart import map_from_above
from hmpfit.viewing.pages import in_base64, write_page
from hmpfit.viewing.warnings import cautions, medians, residuals_px

CONVENTIONS = (
    "Positions are meters in the camera's frame: x to the right, y down, z away from the camera. Pixels count from the "
    "image's top left corner.",
    "Joints are in OpenPose order: wrist, then thumb, index, middle, ring and little finger, base to tip.",
    "hand_pose is absolute axis-angle in MANO's joint order (zero is the flat hand; smplx: flat_hand_mean=True, "
    "use_pca=False). transl is smplx's: the wrist lies at J0(betas) + transl, so transl is not the wrist's position; "
    "joints[..., 0, :] is.",
    "A left hand's parameters are a left hand's: give them to MANO_LEFT, not mirrored to MANO_RIGHT.",
    "Frames marked interpolated or extrapolated were not seen; their pose is the prior's, not a measurement.",
)

DROPPED_SHOWN = 20  # rows of the table of dropped sightings; result.json has them all


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a run folder to `out` (default: `report.html` in it) and return its path.

    Raises InputError when the folder holds no finished run.
    """
    stored = read_result(folder)
    summary = read_run_summary(folder, len(stored.motion.is_right))
    overlay, picture = folder / "overlay.mp4", folder / "overlay.jpg"
    content = _content(stored, summary)
    content["video"] = in_base64(overlay) if overlay.is_file() else ()
    content["picture"] = in_base64(picture) if picture.is_file() and summary.get("still") else ()
    return write_page("report.html.j2", {**content, "left": LEFT, "width": WIDTH}, out or folder / "report.html")


def read_run_summary(folder: Path, hands: int | None = None) -> dict[str, Any]:
    """Return the content of a run folder's `result.json`, which must have that many hands.

    Raises InputError when there is none, or it is not of this run.
    """
    try:
        summary = read_summary(folder / "result.json")
    except UnreadableFileError as error:
        raise InputError(
            f"'{folder}' holds no readable result.json: {error.reason}; give the folder of a run."
        ) from None
    if hands is not None and len(summary["hands"]) != hands:
        raise InputError(f"In '{folder}' result.json and result.npz tell of different hands; give the folder of a run.")
    return summary


def _content(stored: StoredResult, summary: Mapping[str, Any]) -> dict[str, Any]:
    labels = hand_labels(stored)
    sides = ["right" if right else "left" for right in stored.motion.is_right]
    off_px, std_mm = residuals_px(stored), stored.from_wrist_mm[..., 1:]
    known_std = bool(np.isfinite(std_mm).all())
    times_s = stored.tracks.times_s - stored.tracks.times_s[0]
    first = int(summary.get("first_frame", 0))
    shares = trusted_frames(stored.tracks).mean(-1)
    trusted = [hand.get("trusted_share", share) for hand, share in zip(summary["hands"], shares, strict=True)]
    return {
        "title": Path(str(summary.get("video", "result"))).name,
        "lead": lead(summary),
        "warnings": cautions(stored, summary),
        "first": first,
        "figures": _figures(summary),
        "hands": [
            {
                "label": label,
                "side": side,
                "strip": status_strip(stored.motion.status[hand], first, f"status of the {label} hand"),
                "trusted": f"{share:.0%}",
            }
            for hand, (label, side, share) in enumerate(zip(labels, sides, trusted, strict=True))
        ],
        "still": bool(summary.get("still")),
        "residual_chart": line_chart(_curves(sides, medians(off_px)), "pixels", first, "distance from the keypoints"),
        "std_chart": _std_chart(sides, std_mm, first) if known_std else "",
        "acceleration_chart": line_chart(
            _curves(sides, acceleration_mm(stored)), "mm per frame squared", first, "acceleration"
        ),
        "votes": [_votes(label, hand) for label, hand in zip(labels, summary["hands"], strict=True)],
        "dropped": [_dropped(one, first) for one in summary.get("dropped", ())[:DROPPED_SHOWN]],
        "more_dropped": max(len(summary.get("dropped", ())) - DROPPED_SHOWN, 0),
        "joints": _joints(stored, off_px, known_std),
        "world_chart": _world_chart(stored, sides),
        "stages": [_stage(stage) for stage in (summary.get("stages") or ())],
        "conventions": (_camera(stored, summary), *CONVENTIONS),
        "settings": list(flat({key: summary[key] for key in SETTINGS if key in summary})),
        "times": json.dumps([round(float(time), 4) for time in times_s]),
    }


SETTINGS = ("video", "first_frame", "initializer", "keypoints", "prior", "hand_model", "solver", "seed", "windows",
             "seconds", "version", "fingerprints", "recipe")  # fmt: skip


def lead(summary: Mapping[str, Any]) -> str:
    """Return a line on what was fitted."""
    hands = summary["hands"]
    sides = [f"{name} hand" for name in hand_names(hand["is_right"] for hand in hands)]
    said = f"a {' and a '.join(sides)}" if len(sides) < 3 else f"{len(sides)} hands"
    if summary.get("still"):
        return f"A photo, {said}; hmpfit {summary.get('version', '')}"
    return f"{summary['frames']} frames at {summary['fps']:.4g} per second, {said}; hmpfit {summary.get('version', '')}"


def _figures(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    figures = []
    names = hand_names(hand["is_right"] for hand in summary["hands"])
    for side, hand in zip(names, summary["hands"], strict=True):
        share = hand["detected"] / max(summary["frames"], 1)
        figures.append((f"{share:.0%}", f"of frames with the {side} hand detected"))
        if hand.get("reprojection_px"):
            figures.append((f"{hand['reprojection_px']['median']:.1f} px", f"{side}: fit to keypoints, median"))
        if hand.get("hidden_keypoint_px"):
            figures.append((f"{hand['hidden_keypoint_px']['median']:.1f} px", f"{side}: withheld frames, median"))
        if hand.get("joint_std_wrist_mm_median") is not None:
            figures.append((f"{hand['joint_std_wrist_mm_median']:.0f} mm", f"{side}: joints known to, from the wrist"))
    figures.append((f"{summary['seconds']['total']:.1f} s", "for the whole run"))
    return figures


def _votes(label: str, hand: Mapping[str, Any]) -> list[str]:
    """Return a row of the table of hands: name, person, and its detections' votes on its side."""
    vote = hand.get("vote")
    side = "right" if hand["is_right"] else "left"
    said = "–" if vote is None else f"{vote['agreement']:.0%} of its sightings say {side}"
    return [label, f"{hand.get('hand_id', '–')}", f"{hand.get('person_id', '–')}", said]


def _dropped(one: Mapping[str, Any], first: int) -> list[str]:
    """Return a row of the table of sightings that were not kept."""
    where = f"{one['center_px'][0]:.0f}, {one['center_px'][1]:.0f}"
    frames = f"{one['first_frame'] + first}–{one['last_frame'] + first}"
    return [frames, f"{one['detections']}", where, f"{one['size_px']:.0f}", f"{one['score']:.2f}", str(one["reason"])]


def _curves(sides: list[str], values: Floats) -> list[tuple[str, Floats]]:
    return list(zip(sides, values, strict=True))


def _std_chart(sides: list[str], std_mm: Floats, first: int) -> str:
    return line_chart(_curves(sides, np.median(std_mm, axis=-1)), "millimeters", first, "how well the joints are known")


def acceleration_mm(stored: StoredResult) -> Floats:
    """Return the joints' mean second difference about the wrist [H, T], NaN at the ends."""
    relative = stored.joints - stored.joints[:, :, :1]
    hands, frames = relative.shape[:2]
    out = np.full((hands, frames), np.nan)
    if frames > 2:
        out[:, 1:-1] = np.linalg.norm(np.diff(relative, n=2, axis=1), axis=-1).mean(-1) * 1000
    return out


def _world_chart(stored: StoredResult, sides: list[str]) -> str:
    """Draw the camera's path and the wrists' from above, where the camera moves through a known world."""
    path = stored.world_from_camera
    if path is None or stored.camera_motion is None or not stored.camera_motion.moves:
        return ""
    wrists = apply(path[None], stored.joints[:, :, :1])[:, :, 0]
    curves = [("camera", path[:, :3, 3]), *zip(sides, wrists, strict=True)]
    return map_from_above([(name, places[:, [0, 2]]) for name, places in curves])


def _joints(stored: StoredResult, off_px: Floats, known_std: bool) -> list[list[str]]:
    rows = []
    for joint, name in enumerate(OPENPOSE_21):
        row = [name]
        for hand in range(len(off_px)):
            off = off_px[hand, :, joint]
            row.append(f"{np.nanmedian(off):.1f}" if np.isfinite(off).any() else "–")
            row.append(f"{np.median(stored.from_wrist_mm[hand, :, joint]):.1f}" if known_std else "–")
            seen = stored.motion.status[hand] == DETECTED
            row.append(f"{stored.tracks.confidence[hand, seen, joint].mean():.2f}" if seen.any() else "–")
        rows.append(row)
    return rows


def _stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    head = f"{stage['name']}: {stage['outcome'].replace('_', ' ')} after {stage['steps']} steps of {stage['solver']}"
    start, end = (stage.get("terms_start") or {}), (stage.get("terms_end") or {})
    rows = [[name, _cost(start.get(name)), _cost(end.get(name))] for name in {**start, **end}]
    total = ["all terms", _cost(stage.get("cost_start")), _cost(stage.get("cost_end"))]
    return {"head": f"{head}, {stage['seconds']:.1f} s", "terms": [*rows, total]}


def _cost(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"


def _camera(stored: StoredResult, summary: Mapping[str, Any]) -> str:
    camera, K = (summary.get("camera") or {}), stored.camera.K[0]
    return (
        f"Camera: {stored.camera.width} × {stored.camera.height} px, fx {K[0, 0]:.1f}, fy {K[1, 1]:.1f}, "
        f"cx {K[0, 2]:.1f}, cy {K[1, 2]:.1f} ({camera.get('source', 'given')}"
        f"{', changing' if camera.get('moving') else ''}).{_moved(camera.get('motion'))}"
    )


def _moved(motion: Mapping[str, Any] | None) -> str:
    """Return a sentence on how the camera moved."""
    if not motion:
        return ""
    known = motion.get("path_m") is not None and motion["status"] not in ("static", "rotation")
    length = f", a path of {motion['path_m']:.2f} m" if known else ""
    sure = f" (known to {motion['scale_std']:.0%})" if length and motion.get("scale_std") else ""
    return f" Camera motion: {motion['status']}{length}{sure}; {motion['reason']}."


def flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return nested settings as rows of dotted names and texts."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            rows.extend(flat(value, f"{prefix}{key}."))
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            for place, item in enumerate(value, start=1):
                rows.extend(flat(item, f"{prefix}{key}.{place}."))
        else:
            rows.append((f"{prefix}{key}", f"{value:.6g}" if isinstance(value, float) else str(value)))
    return rows
