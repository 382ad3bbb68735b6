"""`--init stc` and `--init handdgcl` from weights on disk to hands in the camera; the shipped ones on a real clip."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from hmpfit.command_line.run import run as command
from hmpfit.datasets.opening import open_dataset
from hmpfit.errors import InputError
from hmpfit.evaluation.scoring import score_motion
from hmpfit.evaluation.truth_files import of_sequence
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import Truth
from hmpfit.interfaces.network import EstimateRequest
from hmpfit.keypoints.projected import projected_tracks
from hmpfit.records import DETECTED, Camera, HandMotion, KeypointTracks
from hmpfit.regressors.checkpoints import load_plan, save_network, shipped
from hmpfit.regressors.learned import Learned
from hmpfit.video.clip import Clip
from tests.dataset_fixtures.hands import MODELS
from tests.dataset_fixtures.many_cameras import write_interhand
from tests.dataset_fixtures.single_camera import write_hic
from tests.model_fixtures import invented_model

NETWORKS = ("stc", "handdgcl")
FRAMES = 5
CAMERA = Camera(np.array([[[300.0, 0, 160], [0, 300, 120], [0, 0, 1]]]), 320, 240)


class Noise:
    """A clip of noise."""

    width, height, fps = 320, 240, 30.0
    times_s = np.arange(FRAMES) / 30.0

    def decoded(self, start: int, stop: int):
        noise = (np.random.default_rng(frame) for frame in range(start, stop))
        return (partial(one.integers, 0, 255, (240, 320, 3), dtype=np.uint8) for one in noise)

    def hash_into(self, digest) -> None:
        digest.update(b"noise")


def untrained(name: str, folder: Path) -> Learned:
    plan = load_plan(name)
    said = {"image": "64"} | ({"out": "16", "decoder": "16"} if name == "stc" else {"dims": "12,8,8,8", "blocks": "1"})
    switches = plan.for_inference(plan.switches("small", said))
    torch.manual_seed(0)
    path = folder / f"{name}.safetensors"
    save_network(plan.build(switches), name, switches, path)
    return Learned.load(name, str(path))


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_on_disk_become_estimates_of_the_tracked_hands(name: str, tmp_path: Path) -> None:
    learned = untrained(name, tmp_path)
    models = load_hand_models("open")
    places = np.array([[0.0, 0, 0.5], [0.1, 0, 0.5]])[:, None].repeat(FRAMES, 1)
    motion = HandMotion(
        np.zeros((2, FRAMES, 3)), np.zeros((2, FRAMES, 15, 3)), places, np.zeros((2, 10)), np.array([False, True]),
        np.full((2, FRAMES), DETECTED, np.uint8),
    )  # fmt: skip
    tracks = projected_tracks(motion, models, CAMERA, Noise.times_s)
    tracks = replace(tracks, seen=tracks.seen & ~np.array([[False] * FRAMES, [False, True, False, False, False]]))
    clip = Clip(Path("noise"), 0, Noise.times_s, 30.0, Noise())
    hidden, frames = np.arange(FRAMES) == 3, []
    for run_models in (models, HandModels(*[replace(invented_model(), fingerprint="another")] * 2)):
        request = EstimateRequest(clip, tracks, CAMERA, hidden, run_models)
        found = learned.estimate(replace(request, on_frame=frames.append))
        again = learned.estimate(request)
        for key, value in vars(found).items():
            if value is not None:
                assert np.isfinite(value).all() and np.array_equal(value, getattr(again, key)), key
        assert found.estimated.shape == (2, FRAMES) and not (found.estimated & ~tracks.seen).any()
        assert not found.estimated[:, 3].any()
    assert sum(frames) == 2 * FRAMES


@pytest.mark.parametrize("name", (*NETWORKS, "ifvonet"))
def test_the_shipped_weights_fit_the_network_of_today(name: str) -> None:
    assert "small" in shipped(name)
    assert Learned.load(name).name == name


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_scored_by_the_protocols_of_its_benchmarks(name: str, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        write_interhand(tmp_path / "interhand", "test")
        write_hic(tmp_path / "hic")
        learned = untrained(name, tmp_path)
        cases = (("interhand", ("interhand", "stc", "intaghand")), ("hic", ("stc",)))
        for kind, protocols in cases:
            sequences = open_dataset(f"{kind}:{tmp_path / kind}", None, MODELS).sequences
            sequence = max(sequences, key=lambda one: len(one.sides))
            truth = of_sequence(sequence, len(MODELS.right.v_template))
            clip = sequence.clip
            tracks = tracks_of(truth, sequence.camera)
            hidden = np.zeros(clip.frames, bool)
            found = learned.estimate(EstimateRequest(clip, tracks, sequence.camera, hidden, MODELS))
            motion = HandMotion(  # these protocols do not ask where a hand is
                found.global_orient, found.hand_pose, np.zeros((*found.estimated.shape, 3)), found.betas.mean(1),
                found.is_right, np.full(found.estimated.shape, DETECTED, np.uint8),
            )  # fmt: skip
            for protocol in protocols:
                scores = score_motion(motion, MODELS, truth, protocol)["charged"]
                errors = [value for key, value in scores.items() if "mpjpe" in key]
                assert np.isfinite(errors).any(), (kind, protocol)


def tracks_of(truth: Truth, camera: Camera) -> KeypointTracks:
    homogeneous = truth.joints_m @ camera.K[0].T
    xy = homogeneous[..., :2] / homogeneous[..., 2:]
    seen = np.isfinite(xy).all((-1, -2))
    confidence = np.repeat(seen[..., None].astype(float), 21, axis=-1)
    return KeypointTracks(xy, confidence, seen, truth.is_right, truth.times_s)


def test_weights_of_one_network_are_not_those_of_the_other(tmp_path: Path) -> None:
    plan = load_plan("stc")
    switches = plan.switches("small", {"decoder": "16"})
    save_network(plan.build(switches), "stc", switches, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="stc"):
        Learned.load("handdgcl", str(tmp_path / "a.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_shipped_network_starts_a_fit_of_a_real_clip(name: str, inputs: Path, tmp_path: Path) -> None:
    if "small" not in shipped(name):
        pytest.skip(f"no weights of {name} ship")
    words = [str(inputs / "clips" / "cups.mp4"), "--init", name, "--frames", "20:50", "-o", str(tmp_path), "--json"]
    done = CliRunner().invoke(command, [*words, "--quiet"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output[done.output.index("{") :])
    assert {hand["is_right"] for hand in told["hands"]} == {True, False}
    assert all(hand["reprojection_px"]["median"] < 12 for hand in told["hands"])
