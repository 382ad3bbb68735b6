"""`hmpfit train-prior`: a motion prior from AMASS, from recordings of joints, from generated motion, or from all."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from hmpfit.command_line.prior_data import FPS, collect
from hmpfit.command_line.progress import TerminalProgress, count_steps
from hmpfit.command_line.shared_options import device_option, json_option
from hmpfit.errors import HmpfitError, InputError, MissingExtraError
from hmpfit.files.structured import read_json_table
from hmpfit.strict_json import to_json

_START_WINDOWS, _REFIT_WINDOWS, _HELD_OUT_BATCH = 512, 1500, 64
_GAUSSIAN_WINDOWS = 6000
PAPER_EPOCHS = 1000  # docs/method.md section 5


@click.command(name="train-prior")
@click.option("--amass", multiple=True, type=click.Path(path_type=Path), help="An AMASS folder (repeatable).")
@click.option("--motion", multiple=True, type=click.Path(path_type=Path), help="Recordings of joints (repeatable).")
@click.option("--generated", type=click.IntRange(min=0), default=0, metavar="N", help="Generated takes of 5.3 s.")
@click.option(
    "--motion-share",
    type=click.FloatRange(1e-3, 1e3),
    default=0.1,
    show_default=True,
    help="Windows drawn from each --motion, beside 1 of AMASS or generated motion.",
)
@click.option("--hold-out", multiple=True, metavar="PATTERN", help="Leave recordings of such names out (repeatable).")
@click.option(
    "--kind",
    type=click.Choice(["motion_field", "gmm", "pca"]),
    default="motion_field",
    show_default=True,
    help="The VAE over motion fields, or Gaussians on 64 PCA coefficients of windows.",
)
@click.option("--size", type=click.Choice(["small", "nemf", "paper"]), default="small", show_default=True)
@click.option("--start", metavar="PRIOR", help="Begin with the weights of a prior of that size (a name or a file).")
@click.option("--refit-codec", is_flag=True, help="With --start, size small: the linear codec anew from this data.")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Run again to resume.")
@click.option(
    "--additions",
    is_flag=True,
    help="Size paper: also our masked posterior, mean of weights, warm-up, cosine and clipping (the others have them).",
)
@click.option("--components", type=click.IntRange(1, 64), default=1, show_default=True, help="Gaussians of --kind gmm.")
@click.option(
    "--steps", type=click.IntRange(min=1), help="Default: small 9000, nemf 12000, paper 1000 epochs of the data."
)
@click.option("--batch", type=click.IntRange(min=1), help="Windows a step. Default: small 24, nemf and paper 16.")
@click.option("--learning-rate", type=click.FloatRange(1e-9, 1e3), help="Default: small 2e-3, nemf 1e-3, paper 1e-4.")
@device_option
@click.option(
    "--devices", type=click.IntRange(min=1), default=1, show_default=True, help="GPUs, or processes on the CPU."
)
@click.option("--precision", default="32-true", show_default=True, help="Lightning's, such as bf16-mixed.")
@click.option("--hand-model", default="open", envvar="HMPFIT_MANO", help="MANO, for ARCTIC's files.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@json_option
@click.option("--quiet", is_flag=True, help="No progress; errors only.")
def train_prior(
    amass: tuple[Path, ...], motion: tuple[Path, ...], generated: int, motion_share: float, hold_out: tuple[str, ...],
    kind: str, size: str, start: str | None, refit_codec: bool, out: Path, additions: bool, components: int,
    steps: int | None, batch: int | None, learning_rate: float | None, device: str, devices: int, precision: str,
    hand_model: str, seed: int, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train a motion prior; `hmpfit run --prior DIR/prior.safetensors` uses it.

    Resumes from the last checkpoint in DIR when it was made with the same settings. DIR/metrics.csv holds the losses,
    DIR/tensorboard the same for TensorBoard where it is installed.
    """
    if not (amass or motion or generated):
        raise InputError("Give something to learn from: --amass PATH, --motion PATH or --generated N.")
    settings: dict[str, Any] = {
        "kind": kind, "amass": [str(path) for path in amass], "motion": [str(path) for path in motion],
        "motion_share": motion_share, "generated": generated, "hold_out": list(hold_out), "seed": seed,
        "hand_model": hand_model,
    }  # fmt: skip
    _check_options(kind, size, start, refit_codec, additions, components)
    from hmpfit.training.priors.schedules import PRESETS

    batch, learning_rate = batch or PRESETS[size].batch, learning_rate or PRESETS[size].learning_rate
    steps = steps or (0 if size == "paper" else PRESETS[size].steps)
    if kind == "motion_field":
        settings |= {
            "size": size, "steps": steps or f"{PAPER_EPOCHS} epochs", "batch": batch,
            "learning_rate": learning_rate, "precision": precision,
        } | ({"additions": additions} if size == "paper" else {}) | _beginning(start, refit_codec)  # fmt: skip
    elif kind == "gmm":
        settings["components"] = components
    _same_settings(out, settings)
    from hmpfit.cards import write_card
    from hmpfit.hands.model_files import load_hand_models

    models = load_hand_models(hand_model)
    learn = _gaussians(kind, components) if kind != "motion_field" else _field(
        size, start, refit_codec, additions, steps, batch, learning_rate,
        {"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[device], devices, precision
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    with TerminalProgress(quiet) as progress:
        made = out.is_dir()
        out.mkdir(parents=True, exist_ok=True)
        try:
            collections, held, summary = collect(
                amass, motion, motion_share, generated, hold_out, models, rng, out, progress
            )
        except HmpfitError:
            if not made:
                out.rmdir()
            raise
        (out / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")
        sha256, sizes = learn(collections, held, out, _rest_hand(models.right), seed, rng, progress)
    about: dict[str, Any] = {"name": out.resolve().name, "licence": "that of the data it learned from", **summary}
    write_card(out / "prior.safetensors", sha256, about, {"sizes": sizes, "figures.training": settings})
    if as_json:
        click.echo(to_json({"prior": str(out / "prior.safetensors"), "sha256": sha256, **summary}))
    elif not quiet:
        click.echo(f"{out / 'prior.safetensors'}: {summary['data']}")
        click.echo(f"How good it is: hmpfit eval-prior {out / 'prior.safetensors'} --motion PATH")


def _beginning(start: str | None, refit_codec: bool) -> dict[str, Any]:
    """Return the settings that say what a training begins with, where that is not the data alone."""
    return ({"start": start} if start else {}) | ({"refit_codec": True} if refit_codec else {})


def _rest_hand(model: Any) -> tuple[Any, Any]:
    """Return the hand that the prior carries: joints [16, 3] and tips [5, 3] from the wrist, float32 meters."""
    import torch

    joints = torch.as_tensor(model.rest_joints)
    tips = torch.as_tensor(model.v_template[model.tip_vertices])
    return (joints - joints[0]).float(), (tips - joints[0]).float()


def _check_options(
    kind: str, size: str, start: str | None, refit_codec: bool, additions: bool, components: int
) -> None:  # fmt: skip
    """Refuse options that another kind or size has no use for."""
    if start is not None and kind != "motion_field":
        raise InputError(f"--start is for --kind motion_field; {kind} is learned in one step.")
    if refit_codec and (start is None or size != "small"):
        raise InputError(
            "--refit-codec is for --size small with --start; without one the codec is from the data anyway."
        )
    if additions and (kind != "motion_field" or size != "paper"):
        raise InputError("--additions is for --size paper; the small size has them already, Gaussians have no use.")
    if components > 1 and kind != "gmm":
        raise InputError(f"--components is for --kind gmm; {kind} has at most one Gaussian.")


def _gaussians(kind: str, components: int) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Return what learns Gaussians on PCA coefficients and writes them."""

    def learn(
        collections: Sequence[Any], _: Sequence[Any], out: Path, hand: tuple[Any, Any], seed: int,
        rng: np.random.Generator, progress: TerminalProgress,
    ) -> tuple[str, dict[str, Any]]:  # fmt: skip
        from hmpfit.priors.gmm.files import save_gaussians
        from hmpfit.priors.gmm.learning import COEFFICIENTS, learn_gaussians
        from hmpfit.priors.motion_field.sizes import SMALL
        from hmpfit.training.priors.sample_windows import sample_batch

        frames = SMALL.window_frames
        advance = progress.phase("learning", 1)
        batch = sample_batch(collections, _GAUSSIAN_WINDOWS, frames, rng)
        prior = learn_gaussians(batch.hand_R[batch.valid.all(1)], kind, *hand, components, fps=FPS, seed=seed)
        advance(1)
        sizes = {"coefficients": COEFFICIENTS, "components": components, "window_frames": frames, "fps": FPS}
        return save_gaussians(prior, out / "prior.safetensors"), sizes

    return learn


def _field(
    size: str,
    start: str | None,
    refit_codec: bool,
    additions: bool,
    steps: int,
    batch: int,
    learning_rate: float,
    accelerator: str,
    devices: int,
    precision: str,
) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Return what trains a motion field on Lightning and writes the best of it."""
    try:
        from hmpfit.training.loop import LoopOptions, process_number
        from hmpfit.training.priors import train as run
    except ModuleNotFoundError as error:
        raise MissingExtraError("hmpfit train-prior", error.name or "lightning", "pip install lightning") from error

    def learn(
        collections: Sequence[Any], held: Sequence[Any], out: Path, hand: tuple[Any, Any], seed: int,
        rng: np.random.Generator, progress: TerminalProgress,
    ) -> tuple[str, dict[str, Any]]:  # fmt: skip
        import torch

        from hmpfit.priors.motion_field.loading import save_prior
        from hmpfit.priors.motion_field.sizes import to_table
        from hmpfit.training.priors import objective, schedules
        from hmpfit.training.priors.sample_windows import sample_batch

        torch.manual_seed(seed)
        prior = _begun(size, start, refit_codec, collections, hand, rng)
        held_out = [sample_batch(held, _HELD_OUT_BATCH, prior.window_frames, np.random.default_rng(seed + 1))]
        preset, weights = schedules.PRESETS[size], objective.PriorLossWeights()
        if size == "nemf":
            weights = objective.NEMF
        if size == "paper":
            weights = objective.PAPER_WITH_ADDITIONS if additions else objective.PAPER
            preset = schedules.PAPER_WITH_ADDITIONS if additions else schedules.PAPER
        frames = sum(len(pose) for clips in collections for pose in clips.poses)
        count = steps or max(1, PAPER_EPOCHS * frames // (prior.window_frames * batch * devices))
        schedule = replace(
            preset, steps=count, batch=batch, learning_rate=learning_rate, seed=seed,
            validate_every=max(1, min(preset.validate_every, count // 4)),
            warm_up_steps=min(preset.warm_up_steps, count),
        )  # fmt: skip
        best = run.train_prior_network(
            prior, collections, held_out, out, weights, schedule, LoopOptions(accelerator, devices, precision),
            count_steps(progress, count),
        )  # fmt: skip
        if process_number():
            raise SystemExit(0)  # the first process writes the files
        return save_prior(best, out / "prior.safetensors"), to_table(best.sizes)

    return learn


def _begun(
    size: str, start: str | None, refit: bool, collections: Sequence[Any], hand: tuple[Any, Any], rng: Any
) -> Any:  # fmt: skip
    """Return the prior that training begins with: from the data's statistics, or another's weights. InputError."""
    from hmpfit.priors.motion_field.loading import load_prior
    from hmpfit.priors.motion_field.network import MotionPrior
    from hmpfit.priors.motion_field.sizes import KNOWN
    from hmpfit.training.priors.sample_windows import sample_batch
    from hmpfit.training.priors.start import refit_codec, start_from_data, whole_windows

    if start is None:
        prior = MotionPrior(KNOWN[size])
        prior.skeleton.copy_(hand[0])
        prior.tips.copy_(hand[1])
        start_from_data(prior, whole_windows(sample_batch(collections, _START_WINDOWS, prior.window_frames, rng)))
        return prior
    prior = load_prior(start)
    if prior.sizes != KNOWN[size]:
        raise InputError(f"The prior '{start}' is not of size {size}; give the --size that it has.")
    if refit:
        refit_codec(prior, whole_windows(sample_batch(collections, _REFIT_WINDOWS, prior.window_frames, rng)))
    return prior.train().requires_grad_(True)


def _same_settings(out: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder with another training in it, naming the first difference; its checkpoints stay untouched."""
    try:
        before = read_json_table(out / "settings.json")
    except InputError:
        return
    different = [key for key in settings if before.get(key) != settings[key]]
    if different:
        key = different[0]
        raise InputError(
            f"'{out}' holds a training with {key} = {before.get(key)}, and {settings[key]} was asked for; choose "
            "another -o, or the same settings to resume."
        )
