"""STC and HandDGCL in the shared loop: a small batch is learned by heart; miniature InterHand2.6M and HIC trees train,
resume and score; the command ships HandDGCL without its training branch."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hmpfit.command_line.train import train as command
from hmpfit.datasets.hand_clips import open_hand_clips
from hmpfit.errors import InputError
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.checkpoints import borrow_backbone, is_regressor, load_network, load_plan
from hmpfit.regressors.handdgcl.network import HandDgcl
from hmpfit.regressors.plan import Plateau
from hmpfit.regressors.samples import NOTHING, View, sample_crop
from hmpfit.training.loop import LoopOptions
from hmpfit.training.regressors.batches import ClipMixture, HeldOutBatches
from hmpfit.training.regressors.train import train_regressor
from hmpfit.training.states import LAST, read_state
from tests.dataset_fixtures.many_cameras import NUMBERS, write_interhand
from tests.dataset_fixtures.single_camera import write_hic
from tests.made_clips import Dots

NETWORKS = ("stc", "handdgcl")
TINY = {
    "stc": ["image=64", "window=3", "extractor=8", "heads=2", "head_width=4", "out=16", "decoder=16"],
    "handdgcl": ["image=64", "hidden=16", "dims=12,8,8,8", "blocks=1", "queue=8"],
}

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {kind: tmp_path_factory.mktemp(kind) for kind in ("interhand", "hic")}
    write_interhand(found["interhand"])
    write_hic(found["hic"])
    return found


def run(network: str, *words: str) -> Any:
    switches = [word for text in TINY[network] for word in ("--set", text)]
    return CliRunner().invoke(command, [network, "--device", "cpu", "--json", *switches, *words])


def told(done: Any) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.output[done.output.index("{") :]))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_small_batch_is_learned_by_heart(name: str) -> None:
    plan = load_plan(name)
    switches = plan.switches("small", {"image": "64"} | ({"window": "2", "inter": "0"} if name == "stc" else {}))
    torch.manual_seed(0)
    network, view = plan.build(switches), plan.view(switches)
    hand = ManoHand(load_hand_models("open").right)
    batch = HeldOutBatches(ClipMixture([Dots(2, view.frames, (True, False))]), view, 2)[0]
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    before = plan.scores(network.eval(), batch, hand)[plan.best]
    network.train()
    for _ in range(70):
        optimizer.zero_grad()
        plan.losses(network, batch, hand)["total"].backward()
        optimizer.step()
    with torch.no_grad():  # statistics of the one batch, which the running means have not reached
        after = plan.scores(network, batch, hand)[plan.best]
    assert float(after) < 0.5 * float(before)


def test_the_rate_halves_where_the_loss_stands_still_and_a_resumed_training_knows(tmp_path: Path) -> None:
    plan = load_plan("handdgcl")
    switches = plan.switches("small", dict(text.split("=") for text in TINY["handdgcl"]))
    recipe = replace(
        plan.recipes["paper"], batch=2, learning_rate=1e-6, plateau=Plateau(epochs=2, least_gain=1e9, least_rate=1e-7)
    )
    clips, view = ClipMixture([Dots(4, 1, (True, False))]), plan.view(switches)
    models, options = load_hand_models("open"), LoopOptions(accelerator="cpu", save_every=1)

    def rates(folder: Path, steps: int) -> dict[str, Any]:
        torch.manual_seed(0)
        train_regressor(
            plan, switches, plan.build(switches), clips, clips, models, folder, recipe, options, steps=steps
        )
        return dict(read_state(folder / LAST))

    assert len(clips) == 4 and view.frames == 1  # two steps an epoch
    whole = rates(tmp_path / "whole", 10)
    # Epochs 2 and 3 gain too little against the first: halved after 6 steps, and after epochs 4 and 5 again.
    assert whole["plateau"]["share"] == 0.25 and whole["plateau"]["steps"] == 0
    assert whole["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.25e-6)
    rates(tmp_path / "parts", 5)
    parts = rates(tmp_path / "parts", 10)
    assert parts["plateau"] == whole["plateau"]


@pytest.mark.parametrize("name", NETWORKS)
def test_two_epochs_on_interhand_and_hic_then_resume(name: str, trees: dict[str, Path], tmp_path: Path) -> None:
    data = [word for kind, path in trees.items() for word in ("--data", f"{kind}:{path}")]
    words = [*data, "--batch", "2", "-o", str(tmp_path / "out")]
    first = told(run(name, *words, "--epochs", "2"))
    assert all(np.isfinite(value) for key, value in first["held_out"].items() if "mpvpe" not in key)
    with (tmp_path / "out" / "metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    best = load_plan(name).best
    assert sum(bool(row[f"held_out/{best}"]) for row in rows) == 2  # once an epoch
    again = told(run(name, *words, "--epochs", "2"))  # finished: nothing is learned any more
    assert again["held_out"] == first["held_out"]
    network, switches = load_network(Path(first["checkpoint"]), name)
    if name == "handdgcl":
        assert isinstance(network, HandDgcl) and network.branch is None and switches.disturbance == "none"
    refused = run(name, *words, "--epochs", "3")
    assert isinstance(refused.exception, InputError) and "epochs = 2, not 3" in str(refused.exception)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_killed_training_resumes_to_the_same_weights(name: str, tmp_path: Path) -> None:
    plan = load_plan(name)
    switches = plan.switches("small", dict(text.split("=") for text in TINY[name]))
    clips = ClipMixture([Dots(8, plan.view(switches).frames, (True, False))])
    recipe = replace(plan.recipes["small"], epochs=1, batch=2, warm_up_steps=1)

    def learn(folder: Path, stop_at: int | None = None) -> torch.nn.Module:
        def watch(step: int) -> None:
            if stop_at is not None and step >= stop_at:
                raise KeyboardInterrupt

        torch.manual_seed(0)
        folder.mkdir(exist_ok=True)
        options, models = LoopOptions("cpu", save_every=2), load_hand_models("open")
        return train_regressor(
            plan, switches, plan.build(switches), clips, clips, models, folder, recipe, options, 0, watch
        )

    whole = learn(tmp_path / "whole").state_dict()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        learn(tmp_path / "cut", stop_at=3)
    resumed = learn(tmp_path / "cut").state_dict()
    for key, value in whole.items():  # the pairs in HandDGCL's queue too
        assert torch.allclose(value.float(), resumed[key].float(), atol=1e-6), key


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_can_start_from_shipped_weights(name: str, tmp_path: Path) -> None:
    from hmpfit.datasets.shards import write_index, write_shard

    source = Dots(6, 3, (True, False))
    write_shard(tmp_path / "a.npz", [source[number] for number in range(6)])
    write_index(tmp_path, [("a.npz", 6)], {})
    words = ["--data", f"synthetic:{tmp_path}", "--batch", "2", "--steps", "1"]
    made = told(run(name, *words, "-o", str(tmp_path / "one")))
    told(run(name, *words, "-o", str(tmp_path / "two"), "--checkpoint", made["checkpoint"], "--learning-rate", "1e-9"))
    before, _ = load_network(Path(made["checkpoint"]), name)
    after, _ = load_network(tmp_path / "two" / f"{name}.safetensors", name)
    for key, value in before.named_parameters():
        assert torch.allclose(value, after.get_parameter(key), atol=2e-3), key
    other = NETWORKS[1 - NETWORKS.index(name)]
    borrowed = load_plan(other).build(load_plan(other).switches("small"))
    assert is_regressor(Path(made["checkpoint"])) and not is_regressor(tmp_path / "a.npz")
    borrow_backbone(borrowed, Path(made["checkpoint"]))
    own, lent = borrowed.get_submodule("image_encoder"), before.get_submodule("image_encoder")
    assert all(torch.equal(own.get_parameter(key), value) for key, value in lent.named_parameters())
    with pytest.raises(InputError, match="not like"):
        borrow_backbone(load_plan(other).build(load_plan(other).switches("paper")), Path(made["checkpoint"]))


def test_clips_of_two_hands_know_what_the_trees_know(trees: dict[str, Path]) -> None:
    view = View(size=64, frames=2, hands=2)
    hic = open_hand_clips(f"hic:{trees['hic']}", view, load_hand_models("open"))
    sample = sample_crop(hic[1], view, NOTHING, np.random.default_rng(0))
    assert np.isfinite(sample["joints_3d"]).all() and np.isnan(sample["hand_pose"]).all()
    interhand = open_hand_clips(f"interhand:{trees['interhand']}", view, load_hand_models("open"))
    sample = sample_crop(interhand[0], view, NOTHING, np.random.default_rng(0))
    assert np.isfinite(sample["hand_pose"]).all() and sample["image"].shape == (2, 3, 64, 64)
    both = len(NUMBERS) - 2  # the left hand lacks in one frame, two joints of the right one in another
    assert len(interhand) == 2 * both  # two cameras


def test_fewer_frames_than_the_clip_has_are_a_stretch_of_it() -> None:
    clip = Dots(1, 5, (True, False))[0]
    middle = sample_crop(clip, View(64, 1, 2), NOTHING, np.random.default_rng(0))
    expected = sample_crop(clip.stretch(2, 1), View(64, 1, 2), NOTHING, np.random.default_rng(0))
    assert all(np.array_equal(middle[key], expected[key]) for key in expected)
    wild = replace(NOTHING, flip_share=1e-9)
    starts = {
        sample_crop(clip, View(64, 1, 2), wild, np.random.default_rng(k))["joints_3d"][0, 0, 0, 0] for k in range(12)
    }
    assert len(starts) > 2
