"""Write small AMASS trees in the exact layouts of both releases."""

from pathlib import Path

import numpy as np


def fingers(frames: int, seed: int, size: float = 0.5) -> np.ndarray:
    """Bending fingers [frames, 45] of a right hand; `size` 0 is a hand at rest."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, 15)
    pose = np.zeros((frames, 15, 3))
    pose[..., 2] = 0.6 + size * np.sin(phase + np.arange(frames)[:, None] / 40)
    return pose.reshape(frames, 45)


def smpl_h(path: Path, frames: int = 480, rate: float = 120.0, seed: int = 0, size: float = 0.5) -> Path:
    """The SMPL-H release: `poses` [N, 156], `mocap_framerate`; the left hand is the right one's mirror image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = np.zeros((frames, 156))
    poses[:, 111:156] = fingers(frames, seed, size)
    poses[:, 66:111] = (fingers(frames, seed, size).reshape(-1, 15, 3) * [1, -1, -1]).reshape(frames, 45)
    np.savez(
        path, poses=poses, trans=np.zeros((frames, 3)), betas=np.zeros(16), dmpls=np.zeros((frames, 8)),
        gender=np.array("male"), mocap_framerate=np.array(rate),
    )  # fmt: skip
    return path


def smpl_x(path: Path, frames: int = 480, rate: float = 120.0, seed: int = 0, size: float = 0.5) -> Path:
    """The SMPL-X release: `poses` [N, 165], `mocap_frame_rate`; the left hand is at rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    poses = np.zeros((frames, 165))
    poses[:, 120:165] = fingers(frames, seed, size)
    np.savez(
        path, poses=poses, trans=np.zeros((frames, 3)), betas=np.zeros(16), gender=np.array("neutral"),
        surface_model_type=np.array("smplx"), mocap_frame_rate=np.array(rate), num_betas=np.array(16),
    )  # fmt: skip
    return path


def arctic(path: Path, frames: int = 120, seed: int = 0) -> Path:
    """ARCTIC's `*.mano.npy`: a pickled dictionary of both hands, at 30 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hand = {
        "rot": np.zeros((frames, 3)), "pose": fingers(frames, seed), "trans": np.zeros((frames, 3)),
        "shape": np.zeros(10), "fitting_err": np.zeros(frames),
    }  # fmt: skip
    np.save(path, {"right": hand, "left": hand}, allow_pickle=True)  # type: ignore[arg-type]
    return path


def tree(root: Path) -> Path:
    """Three datasets in both releases, a shape file, and files that are corrupt, without a rate, NaN, too short."""
    for subject in (1, 2):
        smpl_x(root / "GRAB" / f"s{subject}" / "cup_stageii.npz", seed=subject)
    smpl_h(root / "TCD_handMocap" / "ExperimentDatabase" / "typing_poses.npz", seed=3)
    smpl_h(root / "SAMP" / "mixamo" / "chair_poses.npz", seed=4, rate=60.0)
    np.savez(root / "SAMP" / "mixamo" / "shape.npz", betas=np.zeros(16))
    (root / "GRAB" / "s1" / "broken_stageii.npz").write_bytes(b"PK\x03\x04 not really")
    smpl_h(root / "SAMP" / "mixamo" / "norate_poses.npz", rate=0.0)
    smpl_h(root / "SAMP" / "mixamo" / "short_poses.npz", frames=60)
    bad = smpl_h(root / "SAMP" / "mixamo" / "nan_poses.npz")
    arrays = dict(np.load(bad))
    arrays["poses"][7, 150] = np.nan
    np.savez(bad, **arrays)
    return root
