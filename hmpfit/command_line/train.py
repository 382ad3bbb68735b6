"""`hmpfit train NETWORK`: any learned initializer, from datasets, from rendered clips, or from both."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hmpfit.command_line.progress import TerminalProgress, count_steps
from hmpfit.command_line.shared_options import device_option, json_option
from hmpfit.command_line.training_data import CACHE, open_sources, split_sources
from hmpfit.errors import InputError, MissingExtraError
from hmpfit.files.structured import read_json_table
from hmpfit.strict_json import to_json


@click.command()
@click.argument("network")
@click.option(
    "--data", "data", multiple=True, required=True, metavar="KIND:PATH", help="Repeatable; generated:N renders N clips."
)
@click.option(
    "--hold-out", "hold_out", multiple=True, metavar="NAME", help="Score on runs of this name, learn from the rest."
)
@click.option("--size", default="small", show_default=True, metavar="small|tiny|paper")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Run again to resume.")
@click.option(
    "--set", "said", multiple=True, metavar="SWITCH=VALUE", help="Change a switch of the network (repeatable)."
)
@click.option(
    "--backbone-weights",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="ImageNet weights of a ResNet-50, or weights of another network of ours with the same backbone.",
)
@click.option("--checkpoint", metavar="PATH", help="Start from these weights instead of random ones.")
@click.option("--epochs", type=click.IntRange(min=1), help="Default: the recipe's.")
@click.option("--steps", type=click.IntRange(min=1), help="Stop after so many batches instead.")
@click.option("--batch", type=click.IntRange(min=2), help="Clips per device and step (default: the recipe's).")
@click.option("--learning-rate", type=click.FloatRange(1e-9, 1e3), help="Default: the recipe's.")
@click.option("--validate-every", type=click.IntRange(min=1), metavar="STEPS", help="Default: once an epoch.")
@device_option
@click.option(
    "--devices", type=click.IntRange(min=1), default=1, show_default=True, help="GPUs, or processes on the CPU."
)
@click.option("--precision", default="32-true", show_default=True, help="Lightning's, such as 16-mixed or bf16-mixed.")
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that read clips.")
@click.option("--cache", type=click.Path(path_type=Path), default=CACHE, help="Where generated clips are kept.")
@click.option("--hand-model", default="open", envvar="HMPFIT_MANO", show_envvar=True, help="Datasets need your MANO.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@json_option
@click.option("--quiet", is_flag=True, help="No progress; errors only.")
def train(
    network: str, data: tuple[str, ...], hold_out: tuple[str, ...], size: str, out: Path, said: tuple[str, ...],
    backbone_weights: Path | None,
    checkpoint: str | None, epochs: int | None, steps: int | None, batch: int | None, learning_rate: float | None,
    validate_every: int | None, device: str, devices: int, precision: str, workers: int, cache: Path, hand_model: str,
    seed: int, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train NETWORK: ifvonet, stc or handdgcl (experimental: docs/training.md says what they were shown to do).

    `hmpfit run VIDEO --init NETWORK --checkpoint DIR/NETWORK.safetensors` uses it.
    Resumes from the last state in DIR when it was made with the same settings. DIR/metrics.csv holds the losses.
    """
    from hmpfit.regressors.checkpoints import load_plan

    plan = load_plan(network)
    changed = dict(_pair(text) for text in said)
    if hasattr(plan.sizes["small"], "hand"):  # a network that is built on a mesh
        changed.setdefault("hand", hand_model)
    switches = plan.switches(size, changed)
    changes: dict[str, Any] = {"epochs": epochs, "batch": batch, "learning_rate": learning_rate}
    recipe = replace(plan.recipes[size], **{key: value for key, value in changes.items() if value is not None})
    settings: dict[str, Any] = {
        "network": network, "data": list(data), "hold_out": list(hold_out), "size": size,
        "switches": {k: v for k, v in vars(switches).items()},
        "epochs": recipe.epochs, "steps": steps, "batch": recipe.batch, "learning_rate": recipe.learning_rate,
        "checkpoint": checkpoint, "backbone_weights": None if backbone_weights is None else str(backbone_weights),
        "devices": devices, "precision": precision, "hand_model": hand_model, "seed": seed,
    }  # fmt: skip
    _same_settings(out, settings := json.loads(json.dumps(settings)))
    options_of, learn = _loop()
    import torch

    from hmpfit.hands.model_files import load_hand_models

    models = load_hand_models(hand_model)
    torch.manual_seed(seed)
    fresh = _network(plan, switches, checkpoint, backbone_weights, size)
    with TerminalProgress(quiet) as progress:
        sources = open_sources(data, plan.view(switches), models, hand_model, cache, seed, progress)
        clips, held_out = split_sources(sources, hold_out, plan.view(switches), models, cache, seed, progress)
        if len(clips) < recipe.batch:
            raise InputError(f"--data gives {len(clips)} clips to learn from, fewer than a batch of {recipe.batch}.")
        out.mkdir(parents=True, exist_ok=True)
        (out / "settings.json").write_text(json.dumps(settings, indent=1) + "\n")
        options = options_of(
            accelerator={"auto": "auto", "cpu": "cpu", "cuda": "gpu"}[device], devices=devices, precision=precision,
            workers=workers, validate_every=validate_every or 0,
        )  # fmt: skip
        total = steps or recipe.epochs * max(1, len(clips) // (recipe.batch * devices))
        best = learn(
            plan, switches, fresh, clips, held_out, models, out, recipe, options, seed,
            count_steps(progress, total), steps,
        )  # fmt: skip
        figures = _scores(plan, best, switches, held_out, models, recipe.batch)
    weights, sha256 = _write(out, plan, best, switches, size, settings, figures, (clips, held_out))
    if as_json:
        click.echo(to_json({"checkpoint": str(weights), "sha256": sha256, "held_out": figures}))
    elif not quiet:
        told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        click.echo(f"{weights}: held-out clips: {told}")


def _loop() -> tuple[Any, Any]:
    """Return how training is carried out and the function that does it. Raises MissingExtraError."""
    try:
        from hmpfit.training.loop import LoopOptions
        from hmpfit.training.regressors.train import train_regressor as learn
    except ModuleNotFoundError as error:
        raise MissingExtraError("hmpfit train", error.name or "lightning", "pip install 'hmpfit[train]'") from error
    return LoopOptions, learn


def _network(plan: Any, switches: Any, checkpoint: str | None, backbone_weights: Path | None, size: str) -> Any:
    """Return the network that training starts from: random weights, or those of a checkpoint or of a backbone."""
    from hmpfit.regressors.backbone.weights import load_imagenet
    from hmpfit.regressors.checkpoints import borrow_backbone, find, is_regressor, load_network

    fresh = plan.build(switches)
    if checkpoint is not None:
        found = load_network(find(plan.name, checkpoint), plan.name)[1]
        taught = {key: getattr(found, key) for key in plan.second_stage_switches}  # these may be others than before
        asked = replace(plan.for_inference(switches), **taught)
        loaded = load_network(find(plan.name, checkpoint), plan.name, asked)[0]
        fresh.load_state_dict(loaded.state_dict(), strict=False)  # parts for training only begin anew
        fresh.requires_grad_(True)
    if backbone_weights is not None and is_regressor(backbone_weights):
        borrow_backbone(fresh, backbone_weights)
    elif backbone_weights is not None:
        backbones = plan.backbones(fresh)
        if not backbones:
            raise InputError(f"--backbone-weights fits a ResNet-50, and {plan.name} {size} has none; try --size paper.")
        for backbone in backbones:
            load_imagenet(backbone, backbone_weights)
    return fresh


def _write(
    out: Path, plan: Any, best: Any, switches: Any, size: str, settings: dict[str, Any], figures: dict[str, float],
    data: tuple[Any, Any],
) -> tuple[Path, str]:  # fmt: skip
    """Write the trained weights with their card and return where, and their sha256."""
    from hmpfit.cards import write_card
    from hmpfit.regressors.checkpoints import save_network

    best, switches = plan.shipped(best, switches)
    weights = out / f"{plan.name}.safetensors"
    sha256 = save_network(best, plan.name, switches, weights)
    about = {
        "name": f"{plan.name}_{size}", "licence": "that of the data it learned from", "data": data[0].name,
        "clips": len(data[0]), "held_out_clips": len(data[1]),
    }  # fmt: skip
    trained = {key: value for key, value in settings.items() if value is not None and key != "switches"}
    write_card(weights, sha256, about, {"training": trained, "held_out": figures})
    return weights, sha256


def _scores(plan: Any, network: Any, switches: Any, held_out: Any, models: Any, batch: int) -> dict[str, float]:
    """Return the mean scores on the held-out clips."""
    import torch

    from hmpfit.hands.mano import ManoHand

    hand, rows = ManoHand(models.right), []
    batches = held_out.held_out(plan.view(switches), batch)
    for number in range(len(batches)):
        rows.append(plan.scores(network, batches[number], hand))
    return {
        name: round(float(torch.cat([row[name].reshape(-1).float() for row in rows]).nanmean()), 3) for name in rows[0]
    }


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text} is not SWITCH=VALUE, such as --set pdv=off.")
    return key.strip(), value.strip()


def _same_settings(out: Path, settings: dict[str, Any]) -> None:
    """Refuse a folder with another training in it, naming the differences; its checkpoints stay untouched."""
    try:
        before = read_json_table(out / "settings.json")
    except InputError:
        return
    old, new = ({**table, **_switches(table)} for table in (before, settings))
    different = [key for key in new if key != "switches" and old.get(key) != new[key]]
    if different:
        told = "; ".join(f"{key} = {old.get(key)}, not {new[key]}" for key in different)
        raise InputError(
            f"'{out}' holds a training with other settings ({told}); choose another -o, or the same settings to resume."
        )


def _switches(table: dict[str, Any]) -> dict[str, Any]:
    found = table.get("switches")
    return found if isinstance(found, dict) else {}
