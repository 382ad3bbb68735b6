"""The summary at the end of `hmpfit run`: hands, files, warnings, and the next commands.

Separate from `run`, which is options and the library call.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hmpfit.errors import HmpfitError

_MOST_WARNINGS = 8  # lines; the report has them all
_WRITTEN_LAST = "settings.json"


def last_written(folder: Path) -> int | None:
    """Return when a run finished in a folder, in nanoseconds, or None where none has."""
    try:
        return (folder / _WRITTEN_LAST).stat().st_mtime_ns
    except OSError:
        return None


def print_summary(video: str, folder: Path, summary: Mapping[str, Any], reused: bool = False) -> None:
    """Print what a run found, its files and its warnings; `reused` means that it was finished before."""
    frames, fps, still = summary["frames"], summary["fps"], summary.get("still", False)
    length = "a photo" if still else f"{frames} frames at {fps:.4g} frames/s"
    took = "reused, nothing was computed" if reused else f"{summary['seconds']['total']:.1f} s"
    click.echo(f"{video}: {length}, {took}")
    motion = summary.get("camera", {}).get("motion") or {"status": "static"}
    if motion["status"] != "static":
        sure = f", {motion['path_m']:.2f} m known to {motion['scale_std']:.0%}" if motion["status"] == "moving" else ""
        click.echo(f"  camera: {motion['status']}{sure}")
    for hand in summary["hands"]:
        line = f"  {hand['name']} hand"
        if not still:
            line += f": detected in {hand['detected']} frames, filled in {hand['interpolated']} between"
            line += f" and {hand['extrapolated']} at the ends"
            line += f" (five or more trusted landmarks in {hand.get('trusted_share') or 0:.0%})"
        if hand["reprojection_px"]:
            line += f"; landmarks {hand['reprojection_px']['median']:.1f} px off (median)"
        if hand["joint_std_wrist_mm_median"] is not None:
            line += f"; joints known to {hand['joint_std_wrist_mm_median']:.0f} mm from the wrist"
            line += f" and {hand['joint_std_mm_median']:.0f} mm from the camera (median)"
        click.echo(line)
        if hand["hidden_keypoint_px"]:
            click.echo(f"    withheld frames: {hand['hidden_keypoint_px']['median']:.1f} px off (median)")
    click.echo(f"  {folder / ('overlay.jpg' if still else 'overlay.mp4')}, result.npz, result.json")
    if (folder / "report.html").is_file():
        click.echo(f"  report: {folder / 'report.html'}")
    _print_warnings(folder, summary)


def print_next_commands(folder: Path, summary: Mapping[str, Any]) -> None:
    """Print the commands that a user most likely wants after a run."""
    if not summary["hands"]:
        return
    where = shlex.quote(str(folder))
    click.echo(f"next: hmpfit view {where}              (look around it in 3D)")
    click.echo(f"      hmpfit export {where} --to glb   (or bvh, usd, csv, ...: hmpfit export --help)")


def _print_warnings(folder: Path, summary: Mapping[str, Any]) -> None:
    if not (folder / "result.npz").is_file():
        return
    from hmpfit.results.npz import read_result
    from hmpfit.viewing.warnings import warnings

    try:
        said = warnings(read_result(folder), summary)
    except HmpfitError as error:  # the run itself is done: a summary is no reason to fail
        said = [str(error)]
    if said:
        click.echo("  warnings:")
    for sentence in said[:_MOST_WARNINGS]:
        click.echo(f"  - {sentence}")
    if len(said) > _MOST_WARNINGS:
        click.echo(f"  - and {len(said) - _MOST_WARNINGS} more: hmpfit report {shlex.quote(str(folder))}")
