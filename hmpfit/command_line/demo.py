"""`hmpfit demo`: a clip with known truth, fitted from its pixels alone, scored beside the initializer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hmpfit import __version__
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.run import DEFAULT_OUT, run_one
from hmpfit.command_line.shared_options import device_option, json_option
from hmpfit.errors import InputError
from hmpfit.recipes import RunSettings
from hmpfit.strict_json import to_json

WIDTH, HEIGHT, FPS = 640, 480, 30.0
HAND = "open"
METRICS = {
    "pa_mpjpe_mm": "joints, aligned (PA-MPJPE)",
    "ra_mpjpe_mm": "joints, wrist on wrist (RA-MPJPE)",
    "ra_acc_mm": "acceleration (RA-ACC, mm/frame²)",
    "pa_mpvpe_mm": "surface, aligned (PA-MPVPE)",
}


@dataclass(frozen=True)
class TrueClip:
    """A rendered clip and its file of truth."""

    clip: Path
    truth: Path


@click.command()
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=DEFAULT_OUT / "demo", show_default=True, metavar="DIR"
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Another seed: another person, motion, room.",
)
@click.option(
    "--seconds", type=click.FloatRange(min=1, max=60), default=6.0, show_default=True, help="Length of the clip."
)
@device_option
@click.option("--overwrite", is_flag=True, help="Recompute what other settings made.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def demo(out: Path, seed: int, seconds: float, device: str, overwrite: bool, as_json: bool, quiet: bool) -> None:
    """Make a clip with known truth, fit it from its pixels, report the error."""
    made = make_true_clip(out / "clip", seed, seconds, overwrite, quiet)
    settings = RunSettings(
        hand_model=HAND, hands="right", intrinsics="assumed", seed=seed, device=device, overwrite=overwrite
    )
    summary = run_one(made.clip, out, settings, quiet)
    summary = {**summary, "truth": score_fit(out, made.truth)}
    if as_json:
        click.echo(to_json(summary))
    elif not quiet:
        _print_summary(out, summary)


def make_true_clip(folder: Path, seed: int, seconds: float, overwrite: bool, quiet: bool) -> TrueClip:
    """Render the demo's clip into `folder`, or find it there. Raises RunFolderError when another demo lies there."""
    import json

    import numpy as np

    from hmpfit.geometry.cameras import assumed_intrinsics
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.records import Camera
    from hmpfit.run_folder import RunFolder
    from hmpfit.synthesis.clips import CLIP_NAME, TRUTH_NAME, make_clip
    from hmpfit.synthesis.demo_motion import demo_motion

    models = load_hand_models(HAND)
    identity = {"seed": seed, "seconds": seconds, "version": __version__, "hand": models.right.fingerprint}
    run_folder = RunFolder(folder, identity, overwrite, summary="clip.json")
    if run_folder.finished() is None:
        motion = demo_motion(models, np.random.default_rng(seed), seconds, FPS)
        camera = Camera(assumed_intrinsics(WIDTH, HEIGHT)[None], WIDTH, HEIGHT)
        with TerminalProgress(quiet) as progress, run_folder.publish() as scratch:
            advance = progress.phase("rendering a clip", motion.transl.shape[1])
            make_clip(scratch, motion, models, camera, seed, FPS, on_frame=lambda done, total: advance())
            (scratch / "clip.json").write_text(json.dumps(identity))
    run_folder.release()
    return TrueClip(folder / CLIP_NAME, folder / TRUTH_NAME)


def score_fit(run: Path, truth: Path) -> dict[str, dict[str, float]]:
    """Return the errors of a run's fit and of its initializer (gaps filled) against the truth of the right hand."""
    from hmpfit.evaluation.scoring import demo_errors, read_truth
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.interfaces.initializer import InitialMotion
    from hmpfit.results.npz import read_result
    from hmpfit.results.record_files import load_record

    models, true = load_hand_models(HAND), read_truth(truth)
    motions = {"fit": read_result(run).motion, "initializer": load_record(run / "initial.npz", InitialMotion).motion}
    if not all(motion.is_right.any() for motion in motions.values()):
        raise InputError(f"The run in '{run}' found no right hand, and the demo's clip shows one.")
    return {name: demo_errors(motion, models, true) for name, motion in motions.items()}


def _print_summary(out: Path, summary: dict[str, Any]) -> None:
    from rich.table import Table

    from hmpfit.command_line.literal import literal_console

    truth = summary["truth"]
    table = Table(title=f"Error against the known truth, mm ({summary['frames']} frames)", title_justify="left")
    for heading in ("", "fit", "initializer"):
        table.add_column(heading, justify="right" if heading else "left")
    for metric, words in METRICS.items():
        table.add_row(words, *(f"{truth[which][metric]:.1f}" for which in ("fit", "initializer")))
    literal_console().print(table)
    click.echo(f"{summary['seconds']['total']:.1f} s for the run. Look at {out / 'overlay.mp4'}.")
    click.echo(f"The truth lies in {out / 'clip' / 'truth.npz'}.")
