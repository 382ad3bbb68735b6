"""Camera paths from COLMAP, TUM and our own files: one path written in every form comes back the same."""

import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmpfit.camera_motion.pose_files import ClipTimes, read_camera_path
from hmpfit.errors import InputError
from hmpfit.geometry.rigid_transforms import inverse, rigid

FRAMES = 12
TIMES_S = np.arange(FRAMES) / 30
CLIP = ClipTimes(TIMES_S)
_GENERATOR = np.random.default_rng(4)
PATH = rigid(
    Rotation.from_rotvec(np.cumsum(_GENERATOR.normal(0, 0.03, (FRAMES, 3)), axis=0)).as_matrix(),
    np.cumsum(_GENERATOR.normal(0, 0.02, (FRAMES, 3)), axis=0),
)


def colmap_rows() -> np.ndarray:
    back = inverse(PATH)
    quaternion = Rotation.from_matrix(back[:, :3, :3]).as_quat()
    return np.concatenate((quaternion[:, [3, 0, 1, 2]], back[:, :3, 3]), axis=1)


def write_colmap(file, first=1, rows=None):
    lines = ["# Image list", "#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME"]
    for index, row in enumerate(colmap_rows() if rows is None else rows):
        lines += [f"{index + 7} {' '.join(f'{v:.12g}' for v in row)} 1 shot/frame_{index + first:05d}.png"]
        lines += ["" if index % 2 else "10.0 20.0 -1 30 40 5"]
    file.write_text("\n".join(lines) + "\n")


def write_tum(file, start_s=0.0, rows=slice(None)):
    quaternion = Rotation.from_matrix(PATH[:, :3, :3]).as_quat()
    table = np.concatenate((TIMES_S[:, None] + start_s, PATH[:, :3, 3], quaternion), axis=1)[rows]
    np.savetxt(file, table, fmt="%.11f", header="timestamp tx ty tz qx qy qz qw")


@pytest.mark.parametrize("first", [0, 1])
def test_colmap_text(tmp_path, first):
    write_colmap(tmp_path / "images.txt", first)
    assert np.allclose(read_camera_path(tmp_path / "images.txt", CLIP), PATH, atol=1e-9)
    assert np.allclose(read_camera_path(tmp_path, CLIP), PATH, atol=1e-9)


def test_colmap_binary(tmp_path):
    data = struct.pack("<Q", FRAMES)
    for index, row in enumerate(colmap_rows()):
        data += struct.pack("<I7dI", index, *row, 1) + f"{index + 1:04d}.jpg".encode() + b"\0"
        data += struct.pack("<Q", 2) + 2 * struct.pack("<ddq", 1.0, 2.0, -1)
    (tmp_path / "images.bin").write_bytes(data)
    assert np.allclose(read_camera_path(tmp_path, CLIP), PATH, atol=1e-9)


@pytest.mark.parametrize("start_s", [0.0, 1.7e9])
def test_tum_in_the_clip_s_time_or_on_a_clock_of_its_own(tmp_path, start_s):
    write_tum(tmp_path / "poses.txt", start_s)
    assert np.allclose(read_camera_path(tmp_path / "poses.txt", CLIP), PATH, atol=1e-6 if start_s else 1e-9)


def test_our_own(tmp_path):
    np.savez(tmp_path / "result.npz", world_from_camera=PATH, times_s=TIMES_S)
    assert np.array_equal(read_camera_path(tmp_path / "result.npz", CLIP)[:, :3, 3], PATH[:, :3, 3])
    assert np.allclose(read_camera_path(tmp_path, CLIP), PATH)


def test_frames_of_a_cut_clip_and_between_key_frames(tmp_path):
    write_colmap(tmp_path / "images.txt")
    cut = ClipTimes(TIMES_S[3:9], first_frame=3)
    assert np.allclose(read_camera_path(tmp_path / "images.txt", cut), PATH[3:9], atol=1e-9)
    write_tum(tmp_path / "keys.txt", rows=slice(None, None, 2))
    found = read_camera_path(tmp_path / "keys.txt", ClipTimes(TIMES_S[:11]))
    assert np.allclose(found[::2], PATH[:11:2], atol=1e-9)
    assert np.allclose(found[1, :3, 3], PATH[[0, 2], :3, 3].mean(0), atol=1e-9)


def test_what_cannot_be_read_is_refused_with_the_forms(tmp_path):
    with pytest.raises(InputError, match="there is no"):
        read_camera_path(tmp_path / "nothing.txt", CLIP)
    with pytest.raises(InputError, match="holds none of images"):
        read_camera_path(tmp_path, CLIP)
    (tmp_path / "kitti.txt").write_text("1 0 0 0 0 1\n")
    with pytest.raises(InputError, match="6 columns, not 8"):
        read_camera_path(tmp_path / "kitti.txt", CLIP)
    rows = colmap_rows()
    rows[2, :4] = 0
    write_colmap(tmp_path / "images.txt", rows=rows)
    with pytest.raises(InputError, match="quaternion is not of length 1"):
        read_camera_path(tmp_path / "images.txt", CLIP)
    write_tum(tmp_path / "short.txt", rows=slice(0, 4))
    with pytest.raises(InputError, match=r"clip lasts from 0.00 s to 2.00 s; cut the clip"):
        read_camera_path(tmp_path / "short.txt", ClipTimes(np.arange(61) / 30))
    np.savez(tmp_path / "flip.npz", world_from_camera=PATH * np.array([1, 1, -1, 1.0])[:, None])
    with pytest.raises(InputError, match="no rotations"):
        read_camera_path(tmp_path / "flip.npz", CLIP)
