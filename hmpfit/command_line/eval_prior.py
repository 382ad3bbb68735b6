"""`hmpfit eval-prior`: a motion prior on held-out motion, beside SLERP, PCA and a Gaussian mixture."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from hmpfit.command_line.prior_data import hands_in
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError
from hmpfit.strict_json import to_json

HELD_OUT_KINDS = ("spelling", "power_grasps", "precision_grasps", "other_grasps", "handling")
# Recordings that the shipped priors never saw: Leap's, and whole words of the signs.
HELD_OUT_FILES = ("rollAndPitch", "pinch", "three-claps", "4.", "Abbreviate", "Able", "Abrasive", "Abstain", "Access",
                  "Account", "D_", "N_", "X_")  # fmt: skip


@click.command(name="eval-prior")
@click.argument("prior")
@click.option(
    "--motion",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Recordings of joints, or AMASS files (repeatable).",
)
@click.option(
    "--all-files", is_flag=True, help="Of a folder with recordings that the shipped prior never saw: the others too."
)
@click.option(
    "--generated", type=click.IntRange(min=0), default=0, metavar="N", help="Generated takes of held-out kinds."
)
@click.option("--no-baselines", is_flag=True, help="Leave out the priors pca and gmm.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress, no table; errors only.")
def eval_prior(
    prior: str,
    motion: tuple[Path, ...],
    all_files: bool,
    generated: int,
    no_baselines: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure PRIOR (a name or a file): reconstruction, gaps of 5 to 60 frames, 60 and 120 frames a second, samples."""
    from hmpfit.evaluation.prior_quality import RATES, MotionWindow, measure_prior, rate_errors, windows_of
    from hmpfit.priors.opening import load_gmm, load_pca, open_prior
    from hmpfit.synthesis.motion import HELD_OUT, generate_motion

    if not motion and not generated:
        raise InputError("Give motion to measure on: --motion PATH or --generated N.")
    loaded = open_prior(prior)
    frames, fps = loaded.window_frames, loaded.fps
    windows: list[MotionWindow] = []
    for path in motion:
        windows += [
            window
            for name, pose, valid in _recorded(path, all_files, fps)
            for window in windows_of(name, "recorded", pose, valid, frames)
        ]
    rng = np.random.default_rng(777)
    for take in range(generated):
        kind = HELD_OUT_KINDS[take % len(HELD_OUT_KINDS)]
        pose = generate_motion(kind, frames / fps, fps, rng, HELD_OUT)
        windows += windows_of(f"generated {kind}", "generated", pose, np.ones(frames, dtype=bool), frames)
    if not windows:
        raise InputError("The motion holds no stretch of a second in which a hand is seen.")
    with TerminalProgress(quiet) as progress:
        advance = progress.phase("measuring", len(windows))
        others = {} if no_baselines else {"pca": load_pca(), "gmm": load_gmm()}
        others = {name: other for name, other in others.items() if other.window_frames == frames}
        found = measure_prior(loaded, windows, others, advance)
        finer = np.random.default_rng(55)
        found["rates"] = rate_errors(
            loaded,
            {
                rate: [generate_motion(kind, frames / fps, rate, finer, HELD_OUT) for kind in HELD_OUT_KINDS]
                for rate in RATES
            },
        )
    content = {"prior": loaded.name, "fingerprint": loaded.fingerprint, **found}
    if as_json:
        click.echo(to_json(content))
    elif not quiet:
        _print_summary(content)


def _recorded(path: Path, all_files: bool, fps: float) -> list[tuple[str, Any, Any]]:
    from hmpfit.hands.model_files import load_hand_models

    files = [path]
    if path.is_dir():
        files = sorted(path.rglob("*.npz"))
        held_out = [file for file in files if file.name.startswith(HELD_OUT_FILES)]
        files = held_out if held_out and not all_files else files
        if not files:
            raise InputError(f"'{path}' holds no recordings (*.npz).")
    models = load_hand_models()
    return [hand for file in files for hand in hands_in(file, models, fps)]


def _print_summary(content: dict[str, Any]) -> None:
    from rich.table import Table

    from hmpfit.command_line.literal import literal_console

    parts = {"": content, **(content["sources"] if len(content["sources"]) > 1 else {})}
    for source, part in parts.items():
        names = [name for name in next(iter(part["gaps"].values())) if name != "ratio_to_slerp"]
        title = f"{content['prior']}: error in gaps, mm ({part['windows']} windows{', ' if source else ''}{source})"
        table = Table(title=title, title_justify="left")
        for heading in ("frames", *names, "prior / slerp"):
            table.add_column(heading, justify="right")
        for gap, row in part["gaps"].items():
            cells = [*(row[name] for name in names), row["ratio_to_slerp"]]
            table.add_row(gap, *("–" if not np.isfinite(cell) else f"{cell:.2f}" for cell in cells))
        literal_console().print(table)
        click.echo(f"reconstruction: {part['mpjpe_mm']:.2f} mm, aligned {part['pa_mpjpe_mm']:.2f} mm")
    for gap, files in content["files_worse_than_slerp"].items():
        if files:
            click.echo(f"gaps of {gap}: worse than SLERP in {len(files)} of {len(content['files'])} files")
    rates = ", ".join(f"{rate} frames/s {error:.2f} mm" for rate, error in content["rates"].items())
    click.echo(f"decoded at other rates: {rates}; samples outside joint limits: {content['sample_violations']:.1%}")
