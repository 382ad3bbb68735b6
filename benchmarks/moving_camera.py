"""Render clips with moving cameras, fit them, and print how well camera, scale and world motion are found.

    python benchmarks/moving_camera.py --seeds 9301:9306 [--kinds walk,pan] [--frames 72] [--files]
        [--tell-size] [--out DIR] [--json]

One row per clip (`hmpfit synthesize --camera KIND`, one right hand, true intrinsics); pans are classified, not fitted.
WA is WA-MPJPE in pieces of 128 frames, mm; its causes are split by putting the truth in for one part each: `WA hands`
has the true camera path and the found hands, `WA camera` the found path and the true hands; `length` is the found
path's over the true one's. Static clips are fitted with `--camera static` too: is everything equal, and how much more
processor time does finding out take. With --files a moving clip of each kind is fitted with its true path as COLMAP,
TUM and our own file: how far apart are joints in the world. With --tell-size every fit has the
`--hand-size` of the true hand (what a ruler would give). Runs stay in --out.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from earlier_runs import take_stages
from scipy.spatial.transform import Rotation

from hmpfit.batch import of_job, sequence_job
from hmpfit.datasets.opening import open_dataset
from hmpfit.evaluation.rigid_lengths import ruler_length
from hmpfit.evaluation.world_motion import world_scores
from hmpfit.geometry.alignment import best_similarity
from hmpfit.geometry.rigid_transforms import apply, inverse
from hmpfit.hands.model_files import load_hand_models
from hmpfit.interfaces.dataset import Sequence
from hmpfit.pipeline import fit_in_folder
from hmpfit.recipes.resolving import resolve_settings
from hmpfit.records import FitRecord
from hmpfit.skeleton import OPENPOSE_WRIST, openpose
from hmpfit.synthesis.clips import make_clip
from hmpfit.synthesis.scenes import FPS, sample_scene

KINDS = ("handheld", "walk", "pan", "static")
HANDS_IN_PICTURE = ("source_tracks.npz", "tracks.npz")
STATUS = {"static": "static", "pan": "rotation"}
SIZE = (640, 480)
Row = dict[str, float | str]


def render(out: Path, kind: str, seed: int, frames: int) -> Path:
    """Render one clip as `hmpfit synthesize --camera KIND` does and return its folder; one that is there is kept."""
    folder = out / "clips" / kind / f"{seed}_{frames}"
    if not (folder / "truth.npz").exists():
        models = load_hand_models("open")
        scene = sample_scene(models, seed, frames, "right", *SIZE, None, "none", kind)
        make_clip(folder, scene.motion, models, scene.camera, seed, FPS, scene.look, place=scene.place)
    return folder


def fit(
    sequence: Sequence, folder: Path, camera: str, solver: str | None = None, size_mm: float | None = None
) -> tuple[FitRecord, float]:
    """Return the fit of a clip with its true intrinsics, and the processor seconds it took (NaN where it was there)."""
    job = sequence_job(sequence, sequence.name, folder, folder)
    choices = resolve_settings(camera_motion=camera, solver=solver, hand_size_mm=size_mm)
    settings = replace(of_job(job, choices), workers=1)
    there, began = (folder / "fit.npz").exists(), time.process_time()
    found = fit_in_folder(job.video, folder, settings)
    return found, float("nan") if there else time.process_time() - began


def measure(found: FitRecord, sequence: Sequence, kind: str) -> Row:
    """Return the numbers of one fit against its truth."""
    truth = sequence.truth()
    assert found.camera_motion is not None and truth.world_from_camera is not None
    row: Row = {"status": found.camera_motion.status}
    row["right"] = float(found.camera_motion.status.split(",")[0] == STATUS.get(kind, "moving"))
    if kind == "pan":  # not fitted
        return row
    path, true_path = found.camera_motion.world_from_camera, truth.world_from_camera
    seen = found.tracks.seen[..., None, None]
    joints, true = np.where(seen, found.joints, np.nan)[:1], truth.joints_m
    scores = world_scores(joints, true, path, true_path, found.camera_motion.map_from_camera)
    row["path m"] = float(np.linalg.norm(np.diff(true_path[:, :3, 3], axis=0), axis=1).sum())
    row["ATE %"] = scores.get("camera_ate_percent", np.nan)
    row["ATE % scaled"] = scores.get("camera_ate_scaled_percent", np.nan)
    row["length"] = np.nan
    if "moving" in found.camera_motion.status and found.camera_motion.known:
        row["length"] = 1 / best_similarity(path[:, :3, 3], true_path[:, :3, 3])[1]
    row["scale std"] = found.camera_motion.scale_std
    wrist, true_wrist = joints[:, :, OPENPOSE_WRIST], true[:, :, OPENPOSE_WRIST]
    row["depth"] = float(np.nanmedian(wrist[..., 2] / true_wrist[..., 2]))
    row["size"] = float(np.nanmedian(_palm(joints) / _palm(true)))
    row["WA still"] = scores["wa_mpjpe_128_still_mm"]
    row["WA"] = scores.get("wa_mpjpe_128_mm", np.nan)
    row["WA/still"] = row["WA"] / row["WA still"]
    row["WA hands"] = world_scores(joints, true, true_path, true_path)["wa_mpjpe_128_mm"]
    known = np.where(np.isfinite(joints), true, np.nan)
    row["WA camera"] = world_scores(known, true, path, true_path).get("wa_mpjpe_128_mm", np.nan)
    return row


def given_path(sequence: Sequence, folder: Path, way: str = "auto") -> float:
    """Return how far apart, in mm, world joints are with the true path as COLMAP, TUM and our own file."""
    truth = sequence.truth()
    assert truth.world_from_camera is not None
    worlds = []
    for name, write in FILES.items():
        file = folder / name
        folder.mkdir(parents=True, exist_ok=True)
        write(file, truth.world_from_camera, sequence.times_s)
        run = folder / file.stem
        take_stages(folder / way, run, *HANDS_IN_PICTURE)
        found, _ = fit(sequence, run, f"file:{file}")
        assert found.camera_motion is not None
        worlds.append(apply(found.camera_motion.world_from_camera[None], found.joints))
    return 1000 * float(max(np.abs(worlds[0] - other).max() for other in worlds[1:]))


def _colmap(file: Path, path: np.ndarray, times_s: np.ndarray) -> None:
    to_camera = inverse(path)
    lines = []
    for frame, pose in enumerate(to_camera):
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        numbers = " ".join(f"{value:.9f}" for value in (w, x, y, z, *pose[:3, 3]))
        lines += [f"{frame + 1} {numbers} 1 frame_{frame + 1:05d}.png", ""]
    file.write_text("\n".join(["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", *lines]) + "\n")


def _tum(file: Path, path: np.ndarray, times_s: np.ndarray) -> None:
    rows = [
        (at_s, *pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat())
        for at_s, pose in zip(times_s, path, strict=True)
    ]
    file.write_text("".join(" ".join(f"{value:.9f}" for value in row) + "\n" for row in rows))


def _ours(file: Path, path: np.ndarray, times_s: np.ndarray) -> None:
    np.savez(file, world_from_camera=path, times_s=times_s)


FILES: dict[str, Callable[[Path, np.ndarray, np.ndarray], None]] = {
    "images.txt": _colmap,
    "tum_path.txt": _tum,
    "own_path.npz": _ours,
}


def same(one: FitRecord, other: FitRecord) -> bool:
    """Return whether two fits are equal in every number of hands and camera."""
    assert one.camera_motion is not None and other.camera_motion is not None
    pairs = [
        (one.joints, other.joints), (one.joint_std_mm, other.joint_std_mm),
        (one.landmarks_px, other.landmarks_px), (one.motion.hand_pose, other.motion.hand_pose),
        (one.motion.betas, other.motion.betas), (one.motion.transl, other.motion.transl),
        (one.camera_motion.world_from_camera, other.camera_motion.world_from_camera),
    ]  # fmt: skip
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


def _palm(joints: np.ndarray) -> np.ndarray:
    return np.linalg.norm(joints[:, :, openpose("middle1")] - joints[:, :, OPENPOSE_WRIST], axis=-1)


def main() -> None:
    """Render, fit and measure the clips, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="9201:9206", help="first:end, the same for every kind")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--out", type=Path, default=Path("moving_camera_out"))
    parser.add_argument("--files", action="store_true", help="also the runs with the path given")
    parser.add_argument("--tell-size", action="store_true", help="fit with --hand-size of the true hand")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    first, end = map(int, arguments.seeds.split(":"))
    rows: list[Row] = []
    for kind in arguments.kinds.split(","):
        for seed in range(first, end):
            name = render(arguments.out, kind, seed, arguments.frames).name
            clips = open_dataset(f"synthetic:{arguments.out / 'clips' / kind}").sequences
            sequence = next(one for one in clips if one.name == name)
            folder = arguments.out / "runs" / kind / sequence.name
            way, size_mm = "auto", None
            if arguments.tell_size:
                way, size_mm = "told", round(1000 * ruler_length(sequence.truth().joints_m[0]), 1)
                take_stages(folder / "auto", folder / way, *HANDS_IN_PICTURE, "camera_path.npz")
            found, took_s = fit(sequence, folder / way, "auto", "none" if kind == "pan" else None, size_mm)
            row: Row = {"clip": f"{kind} {seed}", **measure(found, sequence, kind)}
            if kind == "static":
                still, still_s = fit(sequence, folder / "static", "static", size_mm=size_mm)
                row |= {"same": float(same(found, still)), "time": took_s / still_s}
            elif kind != "pan" and seed == first and arguments.files:
                row["files mm"] = given_path(sequence, folder, way)
            rows.append(row)
            if not arguments.json:
                print("  ".join(f"{key} {_text(value)}" for key, value in row.items()), flush=True)
    moving = [row for row in rows if str(row["clip"]).split()[0] not in STATUS]
    summary = {
        "clips": len(rows),
        "classified_right": sum(float(row["right"]) for row in rows),
        "scale_known": sum(row["status"] == "moving" for row in moving),
        "moving": len(moving),
        "ate_at_most_3_percent": sum(float(row["ATE %"]) <= 3 for row in moving),
        "wa_at_most_half_of_still": sum(float(row["WA/still"]) <= 0.5 for row in moving),
        "median_ate_percent": float(np.nanmedian([float(row["ATE %"]) for row in moving])) if moving else None,
    }
    print(json.dumps({"summary": summary, "clips": rows} if arguments.json else summary, indent=1))


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


if __name__ == "__main__":
    main()
