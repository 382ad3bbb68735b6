"""What is fuzzed: for each reader a valid input, and a use of it as a command would make it.

`build(folder)` writes the valid input, `use(folder)` reads it (damaged, that is) and may raise HmpfitError alone.
"""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch

from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import Camera, KeypointTracks


@dataclass(frozen=True)
class Family:
    """One reader: `weight` says how many of the cases it gets, `pattern` which files are damaged."""

    build: Callable[[Path], Any]
    use: Callable[[Path], Any]
    pattern: str = "*"
    weight: int = 2


FRAMES = 6
TIMES = np.arange(FRAMES) / 30
CAMERA = Camera(np.array([[[900.0, 0, 320], [0, 900.0, 240], [0, 0, 1]]]), 640, 480, None, "given")


@cache
def models() -> HandModels:
    """The open hand, loaded once."""
    return load_hand_models("open")


class FakeClip:
    """What readers of keypoints ask of a clip."""

    times_s = TIMES
    frames, width, height = FRAMES, 640, 480


def _one(folder: Path) -> Path:
    return next(iter(sorted(path for path in folder.iterdir() if not path.name.startswith("."))), folder / "absent.npz")


def _hand_pickle(folder: Path) -> None:
    from tests.model_fixtures import invented_model, smplx_arrays, write_released_pickle

    write_released_pickle(folder / "MANO_RIGHT.pkl", smplx_arrays(invented_model()))


def _hand_npz(folder: Path) -> None:
    from tests.model_fixtures import invented_model, smplx_arrays

    np.savez(folder / "MANO_RIGHT.npz", **smplx_arrays(invented_model()))


def _foreign(kind: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        from hmpfit.hands.mano import pose_hands
        from tests.foreign_files import WRITERS
        from tests.made_result import two_hands

        motion = two_hands(models(), FRAMES).motion
        WRITERS[kind](motion, pose_hands(models(), motion).joints, models(), folder)

    return build


def _use_foreign(folder: Path) -> None:
    from hmpfit.initializers.from_file import initialize

    points = np.tile(np.linspace(200, 300, 21)[:, None], (2, FRAMES, 1, 2))
    ones = np.ones((2, FRAMES, 21))
    tracks = KeypointTracks(points, ones, ones[..., 0] > 0, np.array([True, False]), TIMES)
    initialize(_one(folder), TIMES, CAMERA, models(), tracks)


def _keypoints_json(folder: Path) -> None:
    rng = np.random.default_rng(0)
    content = {"xy_px": rng.uniform(0, 400, (1, FRAMES, 21, 2)).tolist(), "is_right": [True], "times_s": TIMES.tolist(),
               "confidence": np.ones((1, FRAMES, 21)).tolist()}  # fmt: skip
    (folder / "k.json").write_text(json.dumps(content))


def _keypoints_npz(folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(folder / "k.npz", xy_px=rng.uniform(0, 400, (2, FRAMES, 21, 2)), is_right=np.array([True, False]),
             times_s=TIMES, world_m=rng.normal(size=(2, FRAMES, 21, 3)))  # fmt: skip


def _keypoints_coco(folder: Path) -> None:
    hand = np.tile([10.0, 20.0, 0.9], 21).tolist()
    entries = [{"image_id": n, "lefthand_kpts": hand, "righthand_kpts": hand} for n in range(FRAMES)]
    (folder / "coco.json").write_text(json.dumps(entries))


def _keypoints_mmpose(folder: Path) -> None:
    points = [[1.0, 2.0]] * 133
    one = {"keypoints": points, "keypoint_scores": [0.5] * 133}
    frames = [{"frame_id": n, "instances": [one]} for n in range(FRAMES)]
    (folder / "mmpose.json").write_text(json.dumps({"instance_info": frames}))


def _keypoints_openpose(folder: Path) -> None:
    (folder / "openpose").mkdir()
    hand = np.tile([10.0, 20.0, 0.9], 21).tolist()
    for n in range(FRAMES):
        people = {"people": [{"hand_left_keypoints_2d": hand, "hand_right_keypoints_2d": hand}]}
        (folder / "openpose" / f"{n:05d}_keypoints.json").write_text(json.dumps(people))


def _use_keypoints(folder: Path) -> None:
    from hmpfit.keypoints.from_file import read_keypoints

    read_keypoints(_one(folder), FakeClip(), CAMERA)  # type: ignore[arg-type]


def _intrinsics(suffix: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        K, distortion = CAMERA.K[0], np.array([0.1, 0, 0, 0, 0])
        if suffix == ".json":
            (folder / "c.json").write_text(json.dumps({"K": K.tolist(), "distortion": distortion.tolist()}))
        elif suffix == ".npz":
            np.savez(folder / "c.npz", K=K, distortion=distortion)
        else:
            np.savetxt(folder / "c.txt", K)

    return build


def _use_intrinsics(folder: Path) -> None:
    from hmpfit.geometry.cameras import rays
    from hmpfit.geometry.intrinsics import camera_for

    camera = camera_for(640, 480, str(_one(folder)), 1.2)
    assert camera.K.ndim == 3 and np.isfinite(rays(np.array([[1.0, 2.0]]), camera.K[0])).all()


def _run_folder(folder: Path) -> None:
    from hmpfit.recipes import RunSettings
    from hmpfit.run_folder import RunFolder
    from tests.made_result import two_hands, write_run

    stored = two_hands(models(), FRAMES)
    write_run(folder, stored, models())
    run = RunFolder(folder, RunSettings().comparable(), overwrite=True)
    with run.publish() as scratch:
        for name in ("result.npz", "result.json"):
            (scratch / name).write_bytes((folder / name).read_bytes())
    from hmpfit.results.record_files import load_record, save_record

    run.stage(
        "tracks", "fingerprint", lambda: stored.tracks, save_record, lambda path: load_record(path, KeypointTracks)
    )


def _use_run_folder(folder: Path) -> None:
    from hmpfit.recipes import RunSettings
    from hmpfit.results.record_files import load_record, save_record
    from hmpfit.run_folder import RunFolder

    run = RunFolder(folder, RunSettings().comparable(), overwrite=True)
    run.finished()
    stored = _run_folder_tracks()
    run.stage("tracks", "f", lambda: stored, save_record, lambda path: load_record(path, KeypointTracks))


@cache
def _run_folder_tracks() -> KeypointTracks:
    from tests.made_result import two_hands

    return two_hands(models(), FRAMES).tracks


def _use_report(folder: Path) -> None:
    from hmpfit.viewing.report import write_report

    write_report(folder)


def _use_export(folder: Path) -> None:
    run_command(["export", str(folder), "--to", "csv", "--to", "bvh", "--to", "json", "--to", "amass", "--quiet"])


def _use_eval(folder: Path) -> None:
    run_command(["eval", str(folder / "result.npz"), "--truth", str(folder / "truth.npz"), "--json"])


def _result_and_truth(folder: Path) -> None:
    _run_folder(folder)
    (folder / "truth.npz").write_bytes((folder / "result.npz").read_bytes())


def run_command(arguments: list[str]) -> int:
    """Run a command in this process and return its exit code; one that ends with a traceback raises it."""
    from hmpfit.command_line.main import main

    try:
        main(arguments)
    except SystemExit as stopped:
        if stopped.code not in (0, 1, 2, 130):
            raise RuntimeError(f"exit code {stopped.code}") from None
        return int(stopped.code)


def _recipe(folder: Path) -> None:
    source = Path(__file__).parent.parent.parent / "hmpfit" / "recipes" / "default.toml"
    (folder / "mine.toml").write_text(source.read_text())


def _use_recipe(folder: Path) -> None:
    from hmpfit.recipes.resolving import resolve_settings

    resolve_settings(str(_one(folder)))


def _prior(name: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        source = Path(__file__).parent.parent.parent / "priors" / "weights"
        (folder / "p.safetensors").write_bytes((source / f"{name}.safetensors").read_bytes())
        card = (source / f"{name}.card.toml").read_text()
        kept = "\n".join(line for line in card.split("\n") if not line.startswith("sha256"))
        (folder / "p.card.toml").write_text(kept)

    return build


def _use_prior(folder: Path) -> None:
    from hmpfit.priors.opening import open_prior

    open_prior(folder / "p.safetensors")


def _regressor(folder: Path) -> None:
    source = Path(__file__).parent.parent.parent / "hmpfit" / "regressors" / "weights" / "stc_small.safetensors"
    (folder / "stc.safetensors").write_bytes(source.read_bytes())


def _use_regressor(folder: Path) -> None:
    from hmpfit.regressors.checkpoints import is_regressor, load_network

    is_regressor(folder / "stc.safetensors")
    load_network(folder / "stc.safetensors", "stc")


def _torch_file(zipped: bool) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        state = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).state_dict()
        name = "w.pth" if zipped else "w.legacy"
        torch.save({"state_dict": state, "meta": {"epoch": 3}}, folder / name, _use_new_zipfile_serialization=zipped)

    return build


def _use_torch_file(folder: Path) -> None:
    from hmpfit.keypoints.mmpose_imports import read_mmpose_weights
    from hmpfit.regressors.backbone.weights import read_imagenet_weights as read_backbone

    read_mmpose_weights(_one(folder))
    read_backbone(_one(folder))


def _pickles(folder: Path) -> None:
    joblib.dump({"a": np.arange(9.0), "t": torch.randn(3, 4), "n": {"x": [1, 2.5, "y"]}}, folder / "r.pkl")


def _use_pickles(folder: Path) -> None:
    from hmpfit.initializers.foreign.contents import read_contents

    read_contents(folder / "r.pkl")


def _landmarker(folder: Path) -> None:
    with zipfile.ZipFile(folder / "h.task", "w") as archive:
        archive.writestr("hand_detector.tflite", bytes(100))
        archive.writestr("hand_landmarks_detector.tflite", bytes(100))


def _use_landmarker(folder: Path) -> None:
    from hmpfit.keypoints.landmarker_files import load_landmarker

    load_landmarker(folder / "h.task")


def _amass(folder: Path) -> None:
    from tests.amass_files import arctic, smpl_h, smpl_x

    smpl_h(folder / "GRAB" / "s1" / "a_poses.npz")
    smpl_x(folder / "GRAB" / "s1" / "b_stageii.npz")
    arctic(folder / "ARCTIC" / "s1" / "c.mano.npy")


def _use_amass(folder: Path) -> None:
    from hmpfit.datasets.amass import read_amass

    read_amass(folder, folder / ".cache", {"right": np.zeros(45), "left": np.zeros(45)})


def _recording(folder: Path) -> None:
    joints = np.random.default_rng(0).normal(scale=0.05, size=(20, 21, 3))
    np.savez(folder / "m.npz", joints_m=joints, fps=30.0, is_right=True)


def _leap(folder: Path) -> None:
    points = np.random.default_rng(0).normal(scale=50, size=(20, 2, 5, 5, 3))
    np.savez(folder / "l.npz", joints_mm=points, timestamp_us=np.arange(20) * 10_000, confidence=np.ones((20, 2)))


def _use_recording(folder: Path) -> None:
    from hmpfit.datasets.joint_motion import read_motion, resample

    for motion in read_motion(_one(folder)):
        resample(motion)


def _submission(folder: Path) -> None:
    rng = np.random.default_rng(0)
    points, meshes = rng.normal(size=(3, 21, 3)), rng.normal(size=(3, 10, 3))
    (folder / "pred.json").write_text(json.dumps([points.tolist(), meshes.tolist()]))
    (folder / "evaluation_xyz.json").write_text(json.dumps(points.tolist()))
    (folder / "evaluation_verts.json").write_text(json.dumps(meshes.tolist()))
    lines = "\n".join(",".join(map(str, [n, *rng.normal(size=63)])) for n in range(3))
    (folder / "pred.txt").write_text(lines)
    with zipfile.ZipFile(folder / "pred.zip", "w") as archive:
        archive.write(folder / "pred.json", "pred.json")


def _use_submission(folder: Path) -> None:
    from hmpfit.errors import HmpfitError
    from hmpfit.evaluation.score_submission import score_submission

    for name, protocol in (("pred.json", "ho3d"), ("pred.zip", "freihand"), ("pred.txt", "dexycb")):
        truth = folder / "pred.txt" if protocol == "dexycb" else folder
        try:
            score_submission(folder / name, truth, protocol)
        except HmpfitError:
            continue


def _pictures(folder: Path) -> None:
    import cv2

    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    for n, suffix in enumerate(("jpg", "png", "bmp", "webp", "tif")):
        cv2.imwrite(str(folder / f"{n}.{suffix}"), image)
    times = {"fps": 30, "images": [f"{n}.jpg" for n in (0, 0)], "times_s": [0, 0.1]}
    (folder / "list.images.json").write_text(json.dumps(times))


def _use_pictures(folder: Path) -> None:
    from hmpfit.errors import HmpfitError
    from hmpfit.video.clip import open_clip

    for path in (folder, folder / "list.images.json", folder / "1.png"):
        try:
            list(open_clip(path).images())
        except HmpfitError:
            continue


def _video(folder: Path) -> None:
    from hmpfit.video.writer import VideoWriter

    generator = np.random.default_rng(0)
    with VideoWriter(folder / "v.mp4", 30.0, 64, 48) as writer:
        for _ in range(FRAMES):
            writer.write(generator.integers(90, 110, (48, 64, 3)).astype(np.uint8))


def _use_video(folder: Path) -> None:
    from hmpfit.video.clip import open_clip

    for _ in open_clip(folder / "v.mp4").images():
        pass
