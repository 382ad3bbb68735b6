"""The training loop and `hmpfit train`: resumes to the same weights, logs once, refuses what does not fit."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from hmpfit.command_line.train import train as command
from hmpfit.datasets.shards import write_index, write_shard
from hmpfit.errors import InputError, UnknownNameError
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.checkpoints import find, load_network, load_plan, save_network
from hmpfit.regressors.plan import TrainingRecipe
from hmpfit.regressors.samples import NOTHING
from hmpfit.training.loop import LoopOptions
from hmpfit.training.regressors.batches import ClipMixture
from hmpfit.training.regressors.train import train_regressor
from tests.made_clips import Dots

PLAN = load_plan("ifvonet")
TINY = replace(PLAN.sizes["tiny"], width=16, heads=2)
RECIPE = TrainingRecipe(epochs=2, batch=2, learning_rate=1e-3, decay_epochs=(1,), average=0.9, augmentation=NOTHING)


def learn(folder: Path, steps: int, stop_at: int | None = None) -> torch.nn.Module:
    def watch(step: int) -> None:
        if stop_at is not None and step >= stop_at:
            raise KeyboardInterrupt

    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    options = LoopOptions("cpu", save_every=2, validate_every=2)
    clips = ClipMixture([Dots(8)])
    models = load_hand_models("open")
    return train_regressor(PLAN, TINY, PLAN.build(TINY), clips, clips, models, folder, RECIPE, options, 0, watch, steps)


def rows(folder: Path, key: str) -> list[int]:
    with (folder / "metrics.csv").open(newline="") as stream:
        return [int(row["step"]) for row in csv.DictReader(stream) if row[key]]


def test_a_killed_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole = learn(tmp_path / "whole", 6)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        learn(tmp_path / "cut", 6, stop_at=3)
    assert (tmp_path / "cut" / "last.safetensors").is_file()
    resumed = learn(tmp_path / "cut", 6)
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, resumed.state_dict()[name], atol=1e-6), name
    held = rows(tmp_path / "cut", "held_out/pa_mpjpe_mm")
    assert held == sorted(set(held)) and len(held) == 3


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    source = Dots(8)
    write_shard(folder / "a.npz", [source[number] for number in range(8)])
    write_index(folder, [("a.npz", 8)], {})
    return folder


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command, ["ifvonet", "--device", "cpu", "--quiet", *arguments])


def small(shards: Path, out: Path, *more: str) -> list[str]:
    words = ["--data", f"synthetic:{shards}", "-o", str(out), "--size", "tiny", "--batch", "2", "--steps", "2"]
    return [*words, "--set", "width=16", "--set", "heads=2", *more]


def test_the_command_trains_and_leaves_weights_with_a_card(shards: Path, tmp_path: Path) -> None:
    done = run(*small(shards, tmp_path / "out", "--json"))
    assert done.exit_code == 0, done.output
    told = json.loads(done.output[done.output.index("{") :])
    assert set(told["held_out"]) == {"j_pe_mm", "pa_mpjpe_mm", "v_pe_mm", "joints_2d_percent"}
    network, switches = load_network(Path(told["checkpoint"]), "ifvonet")
    assert switches == TINY and not network.training
    refused = run(*small(shards, tmp_path / "out", "--set", "vof=add"))
    assert isinstance(refused.exception, InputError) and "vof = dynamic, not add" in str(refused.exception)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "nothing", "-o", "x"], "nothing is not KIND:PATH"),
        (["--data", "generated:many", "-o", "x"], "generated:many is not a number of clips"),
        (["--data", "imagenet:/tmp", "-o", "x"], "Unknown dataset 'imagenet'"),
        (["--data", "ho3d:/nowhere", "-o", "x"], "no folder '/nowhere'"),
        (
            ["--data", "generated:2", "-o", "x", "--size", "huge"],
            "size of ifvonet 'huge'; known: paper, small, tiny",
        ),
        (["--data", "generated:2", "-o", "x", "--set", "pdv"], "--set pdv is not SWITCH=VALUE"),
        (["--data", "generated:2", "-o", "x", "--set", "pdv=four"], "known: single, off, two, three"),
        (["--data", "generated:2", "-o", "x", "--set", "color=1"], "Unknown switch of ifvonet 'color'"),
        (["--data", "generated:2", "-o", "x", "--set", "width=wide"], "'width=wide' is not a int"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], told: str, tmp_path: Path) -> None:
    done = run(*[str(tmp_path / "x") if word == "x" else word for word in words])
    assert isinstance(done.exception, InputError) and told in str(done.exception)
    assert not (tmp_path / "x").exists()


def test_checkpoints_know_their_network_and_switches(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "net.safetensors"
    network = PLAN.build(TINY)
    save_network(network, "ifvonet", TINY, path, torch.float32)
    loaded, _ = load_network(path, "ifvonet", TINY)
    image = torch.rand(1, 2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(image)[0].rotations, network.eval()(image)[0].rotations)
    other = replace(TINY, vof="add", gor="fit")
    with pytest.raises(InputError, match=r"gor = sigmoid_bn instead of fit; vof = dynamic instead of add"):
        load_network(path, "ifvonet", other)
    (tmp_path / "net.card.toml").write_text('sha256 = "00"\n')
    with pytest.raises(InputError, match="its checksum differs"):
        load_network(path, "ifvonet")
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    with pytest.raises(InputError, match="is not a safetensors file"):
        load_network(tmp_path / "bad.safetensors", "ifvonet")


def test_sizes_without_weights_say_how_to_train_them() -> None:
    with pytest.raises(InputError, match=r"No weights of ifvonet in the size 'paper'.*hmpfit train ifvonet"):
        find("ifvonet", "paper")
    with pytest.raises(InputError, match="There is no checkpoint at 'my/net"):
        find("ifvonet", "my/net.safetensors")
    with pytest.raises(UnknownNameError, match="Unknown network 'hamer'"):
        load_plan("hamer")


def test_weights_start_another_training(shards: Path, tmp_path: Path) -> None:
    save_network(PLAN.build(TINY), "ifvonet", TINY, tmp_path / "net.safetensors")
    words = small(shards, tmp_path / "out", "--checkpoint", str(tmp_path / "net.safetensors"))
    assert run(*words).exit_code == 0
    refused = run(
        *small(shards, tmp_path / "two", "--checkpoint", str(tmp_path / "net.safetensors"), "--set", "vof=add")
    )
    assert isinstance(refused.exception, InputError) and "vof = dynamic instead of add" in str(refused.exception)
    (tmp_path / "resnet50.pth").write_bytes(b"not ours")
    lacking = run(*small(shards, tmp_path / "three", "--backbone-weights", str(tmp_path / "resnet50.pth")))
    assert "has none; try --size paper" in str(lacking.exception)


@pytest.mark.parametrize(("decoupled", "kind"), [(True, torch.optim.AdamW), (False, torch.optim.Adam)])
def test_weight_decay_is_decoupled_or_plain_adam_s(decoupled: bool, kind: type) -> None:
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.regressors.checkpoints import load_plan
    from hmpfit.training.regressors.train import RegressorTraining

    recipe = replace(RECIPE, weight_decay=1e-4, decoupled=decoupled)
    learning = RegressorTraining(torch.nn.Linear(2, 2), load_plan("stc"), recipe, load_hand_models("open"), 4, 2)
    optimizer = learning.configure_optimizers()["optimizer"]
    assert type(optimizer) is kind and optimizer.param_groups[0]["weight_decay"] == 1e-4
    assert not load_plan("stc").recipes["paper"].decoupled
