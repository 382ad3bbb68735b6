"""`hmpfit train-prior`: a motion prior from AMASS, from recordings of joints, from generated motion, or from all."""

import json
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import numpy as np

from hmpfit.command_line.progress import TerminalProgress
from hmpfit.errors import InputError, MissingExtraError

FPS = 30.0
HELD_OUT_SHARE = 0.1  # of the subjects, for validation
_START_WINDOWS, _HELD_OUT_BATCH = 512, 64


@click.command(name="train-prior")
@click.option("--amass", multiple=True, type=click.Path(path_type=Path), help="An AMASS folder (repeatable).")
@click.option("--motion", multiple=True, type=click.Path(path_type=Path), help="Recordings of joints (repeatable).")
@click.option("--generated", type=click.IntRange(min=0), default=0, metavar="N", help="Generated takes of 5.3 s.")
@click.option("--hold-out", multiple=True, metavar="PATTERN", help="Leave recordings of such names out (repeatable).")
@click.option("--size", type=click.Choice(["small", "paper"]), default="small", show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Run again to resume.")
@click.option("--steps", type=click.IntRange(min=1), default=4000, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--learning-rate", type=float, default=6e-4, show_default=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--devices", type=int, default=1, show_default=True, help="GPUs, or processes on the CPU.")
@click.option("--precision", default="32-true", show_default=True, help="Lightning's, such as bf16-mixed.")
@click.option("--hand-model", default="open", envvar="HMPFIT_MANO", help="MANO, for ARCTIC's files.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", is_flag=True, help="No progress; errors only.")
def train_prior(
    amass: tuple[Path, ...], motion: tuple[Path, ...], generated: int, hold_out: tuple[str, ...], size: str, out: Path,
    steps: int, batch: int, learning_rate: float, device: str, devices: int, precision: str, hand_model: str, seed: int,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train a motion prior; `hmpfit run --prior DIR/prior.safetensors` uses it.

    Resumes from the last checkpoint in DIR when it was made with the same settings. DIR/metrics.csv holds the losses.
    """
    if not (amass or motion or generated):
        raise InputError("Give something to learn from: --amass PATH, --motion PATH or --generated N.")
    settings: dict[str, Any] = {
        "amass": [str(path) for path in amass], "motion": [str(path) for path in motion], "generated": generated,
        "hold_out": list(hold_out), "size": size, "steps": steps, "batch": batch, "learning_rate": learning_rate,
        "seed": seed, "precision": precision,
    }  # fmt: skip
    _same_settings(out, settings)
    try:
        from hmpfit.priors.training.run import Schedule, train
    except ModuleNotFoundError as error:
        raise MissingExtraError("hmpfit train-prior", error.name or "lightning", "pip install lightning") from error
    import torch

    from hmpfit.priors.motion_field.loading import save_prior
    from hmpfit.priors.motion_field.network import MotionPrior
    from hmpfit.priors.motion_field.sizes import KNOWN
    from hmpfit.priors.training.cards import write_card
    from hmpfit.priors.training.start import start_from_data
    from hmpfit.priors.training.windows import draw_batch

    rng = np.random.default_rng(seed)
    with TerminalProgress(quiet) as progress:
        collections, held, summary = _collect(amass, motion, generated, hold_out, hand_model, rng, progress)
        out.mkdir(parents=True, exist_ok=True)
        (out / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")
        torch.manual_seed(seed)
        prior = MotionPrior(KNOWN[size])
        prior.name = out.resolve().name
        start_from_data(prior, draw_batch(collections, _START_WINDOWS, prior.window_frames, rng).hand_R)
        held_out = [draw_batch(held, _HELD_OUT_BATCH, prior.window_frames, np.random.default_rng(seed + 1))]
        schedule = Schedule(
            steps=steps, batch=batch, learning_rate=learning_rate, seed=seed,
            validate_every=max(1, min(Schedule.validate_every, steps // 4)), warm_up_steps=min(100, steps),
        )  # fmt: skip
        advance, done = progress.phase("training", steps), [0]

        def on_step(step: int) -> None:
            advance(step - done[0])
            done[0] = step

        accelerator = {"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[device]
        best = train(
            prior, collections, held_out, out, None, schedule, accelerator, devices, precision, on_step=on_step
        )
    sha256 = save_prior(best, out / "prior.safetensors")
    about: dict[str, Any] = {"name": best.name, "licence": "that of the data it learned from", **summary}
    write_card(out / "prior.safetensors", sha256, best.sizes, about, {"training": settings})
    if as_json:
        click.echo(json.dumps({"prior": str(out / "prior.safetensors"), "sha256": sha256, **summary}))
    elif not quiet:
        click.echo(f"{out / 'prior.safetensors'}: {summary['data']}")
        click.echo(f"How good it is: hmpfit eval-prior {out / 'prior.safetensors'} --motion PATH")


def _same_settings(out: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder with another training in it, naming the first difference; its checkpoints stay untouched."""
    try:
        before = json.loads((out / "settings.json").read_text())
    except (OSError, ValueError):
        return
    different = [key for key in settings if before.get(key) != settings[key]]
    if different:
        key = different[0]
        raise InputError(
            f"'{out}' holds a training with {key} = {before.get(key)}, and {settings[key]} was asked for; choose "
            "another -o, or the same settings to resume."
        )


def _collect(
    amass: Sequence[Path], motion: Sequence[Path], generated: int, hold_out: Sequence[str], hand_model: str,
    rng: np.random.Generator, progress: TerminalProgress,
) -> tuple[list[Any], list[Any], dict[str, Any]]:  # fmt: skip
    """Return training collections, held-out ones (by subject), and what is said of them on the card."""
    from hmpfit.datasets.amass import read_amass
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.priors.training.windows import Clips
    from hmpfit.synthesis.motion import KINDS, TRAINING, generate_motion

    train: list[Any] = []
    held: list[Any] = []
    told: list[str] = []
    skipped: list[str] = []

    def add(poses: Sequence[Any], subjects: Sequence[str], valid: Sequence[Any] | None, share: float) -> None:
        names = sorted(set(subjects))
        chosen = set(rng.permutation(names)[: max(1, round(HELD_OUT_SHARE * len(names)))]) if len(names) > 1 else set()
        for out, wanted in ((train, False), (held, True)):
            rows = [row for row, subject in enumerate(subjects) if (subject in chosen) == wanted]
            if rows:
                picked = None if valid is None else [valid[row] for row in rows]
                out.append(Clips([poses[row] for row in rows], picked, share=share, warp=0.0 if wanted else 0.2))

    models = load_hand_models(hand_model)
    mean = None if hand_model == "open" else {"right": models.right.hands_mean, "left": models.left.hands_mean}
    for root in amass:
        clips = read_amass(root, hands_mean=mean)
        add(clips.poses, clips.subjects, None, 1.0)
        still = ", ".join(f"{count} still hands of {name}" for name, count in clips.still_hands.items())
        told.append(
            f"{len(clips.poses)} hands of {clips.files} AMASS files" + (f" ({still} left out)" if still else "")
        )
        skipped += [f"{path}: {reason}" for path, reason in clips.skipped]
    for path in motion:
        names, poses, valid = _recordings(path, hold_out, models)
        add(poses, names, valid, 0.3)
        told.append(f"{len(poses)} recorded hands of {path.name}")
    if generated:
        advance = progress.phase("generating motion", generated)
        poses = []
        for take in range(generated):
            poses.append(generate_motion(list(KINDS)[take % len(KINDS)], 5.3, FPS, rng, TRAINING))
            advance(1)
        add(poses, [str(take) for take in range(generated)], None, 1.0)
        told.append(f"{generated} generated takes")
    return train, held or train, {"data": "; ".join(told), "skipped": skipped}


def _recordings(path: Path, hold_out: Sequence[str], models: Any) -> tuple[list[str], list[Any], list[Any]]:
    from hmpfit.datasets.joint_motion import read_motion, to_hand_pose
    from hmpfit.hands.kinematics import Kinematics

    files = sorted(path.rglob("*.npz")) if path.is_dir() else [path]
    files = [file for file in files if not any(fnmatch(file.name, f"{pattern}*") for pattern in hold_out)]
    if not files:
        raise InputError(f"'{path}' holds no recordings (*.npz) that are not held out.")
    kinematics = Kinematics.of(models.right, landmark_offsets=False)
    names, poses, valid = [], [], []
    for file in files:
        for recorded in read_motion(file):
            found = to_hand_pose(recorded, kinematics, FPS)
            if found.valid.sum() >= FPS:
                names.append(file.stem)
                poses.append(found.hand_pose)
                valid.append(found.valid)
    if not poses:
        raise InputError(f"'{path}' holds no recorded hand that is seen for a second.")
    return names, poses, valid
