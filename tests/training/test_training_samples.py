"""Crops, samples and shards: what is drawn stays true to the geometry, whatever is turned, scaled or mirrored."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmpfit.datasets.shards import Shards, write_index, write_shard
from hmpfit.errors import InputError, RunFolderError
from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors import crops
from hmpfit.regressors.samples import NOTHING, Augmentation, View, sample_crop
from hmpfit.skeleton import OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST
from hmpfit.synthesis.crop_folder import crop_folder
from hmpfit.synthesis.crops import CloseUpOptions
from hmpfit.training.regressors.batches import ClipMixture, TrainingBatches
from tests.made_clips import SIZE, Dots

WILD = Augmentation(0.2, 40.0, 1.0, 0.2, shift=0.1)


def test_a_crop_maps_forth_and_back_and_cuts_what_it_says() -> None:
    crop = crops.Crop(np.array([40.0, 30.0]), 20.0, 0.7)
    points = np.random.default_rng(0).uniform(0, 1, (5, 2))
    assert np.allclose(crop.from_image(crop.points_to_image(points)), points)
    image = np.zeros((64, 80, 3), np.uint8)
    image[33:36, 44:47] = 255  # around (45.5, 34.5)
    cut = crop.cut(image, 200)
    y, x = np.argwhere(cut[..., 0] > 128).mean(0) + 0.5
    assert np.allclose(np.array([x, y]) / 200, crop.from_image(np.array([45.5, 34.5])), atol=0.01)


def test_a_crop_that_shrinks_keeps_the_mean_and_the_place() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[::2] = 200
    image[100:140, 200:240] = 255
    cut = crops.Crop(np.array([200.0, 200.0]), 400.0).cut(image, 40)
    assert abs(int(cut[30, 5, 0]) - 100) < 12  # stripes are averaged, not sampled
    assert cut[11, 21, 0] == 255


def test_upright_turns_the_middle_finger_up() -> None:
    for number in range(5):
        clip = Dots(8)[number]
        crop = crops.around(clip.joints_px, upright=True)
        points = crop.from_image(clip.joints_px)
        up = (points[..., OPENPOSE_MIDDLE_MCP, :] - points[..., OPENPOSE_WRIST, :]).sum((0, 1))
        assert up[1] < 0 and abs(up[0]) < 1e-6


@pytest.mark.parametrize("sides", [(True,), (False,)])
@pytest.mark.parametrize("upright", [True, False])
def test_parameters_of_a_sample_pose_the_joints_of_the_sample(sides: tuple[bool, ...], upright: bool) -> None:
    import torch

    hand = ManoHand(load_hand_models("open").right, torch.float64)
    for number in range(3):
        clip = Dots(8, sides=sides)[number]
        sample = sample_crop(clip, View(64, 2, 1, upright), WILD, np.random.default_rng(number))
        fields = [torch.as_tensor(sample[n][0].astype(np.float64)) for n in ("global_orient", "hand_pose", "betas")]
        posed = hand(*fields, torch.zeros(3, dtype=torch.float64), vertices=False).joints.numpy()
        wanted = sample["joints_3d"][0]
        assert np.abs((posed - posed[:, :1]) - (wanted - wanted[:, :1])).max() < 2e-5


def test_what_lies_in_the_image_lies_at_the_joints_of_the_sample() -> None:
    clip = Dots(8)[1]
    sample = sample_crop(clip, View(192, 2, 1, True), Augmentation(0.1, 30.0, 1.0, 0.0), np.random.default_rng(1))
    xy = sample["joints_2d"][0, 1]
    tip = xy[20]
    seen = sample["image"][1].transpose(1, 2, 0)
    color = np.random.default_rng(0).integers(60, 255, (21, 3))[20] / 255
    y, x = (tip[::-1] * 192).astype(int)
    assert np.abs(seen[y, x] - color).max() < 0.15


def test_the_axes_of_the_crop_see_the_hand_where_it_is() -> None:
    """In the crop's camera the crop's center is straight ahead, so x and y grow as in the picture."""
    clip = Dots(8)[2]
    sample = sample_crop(clip, View(64, 2), NOTHING, np.random.default_rng(0))
    xyz, xy = sample["joints_3d"][0, 1], sample["joints_2d"][0, 1]
    seen = xyz[:, :2] / xyz[:, 2:]
    slope = np.polyfit(xy[:, 0] - 0.5, seen[:, 0], 1)
    assert slope[0] > 0 and abs(slope[1]) < 0.01
    R = sample["R_to_camera"].astype(np.float64)
    back = Rotation.from_matrix(R) * Rotation.from_rotvec(sample["global_orient"][0, 1])
    assert np.allclose(back.as_matrix(), Rotation.from_rotvec(clip.global_orient[0, 1]).as_matrix(), atol=1e-5)


def test_two_hands_come_right_hand_first_and_swap_when_flipped() -> None:
    clip = Dots(4, sides=(False, True))[0]
    view = View(64, 2, 2)
    sample = sample_crop(clip, view, NOTHING, np.random.default_rng(0))
    assert sample["joints_3d"].shape == (2, 2, 21, 3)
    assert np.allclose(sample["betas"][0], clip.betas[1])
    flipped = sample_crop(clip, view, Augmentation(0, 0, 0, 0, flip_share=1.0), np.random.default_rng(0))
    assert np.allclose(flipped["betas"][0], clip.betas[0])
    assert np.allclose(flipped["joints_2d"][0, ..., 0], 1 - sample["joints_2d"][1, ..., 0], atol=1e-5)


def test_batches_depend_on_their_number_only_and_an_epoch_sees_every_clip_once() -> None:
    clips = ClipMixture([Dots(8), Dots(4)])
    batches = TrainingBatches(clips, View(64), WILD, 4, 6, seed=3)
    first, again = list(batches), TrainingBatches(clips, View(64), WILD, 4, 6, seed=3)
    again.first = 4
    assert all((a["image"] == b["image"]).all() for a, b in zip(first[4:], again, strict=True))
    seen = np.concatenate([batch["betas"][:, 0].numpy() for batch in first[:3]])
    wanted = np.stack([clips[i].betas[0] for i in range(12)])
    assert np.allclose(np.sort(seen[:, 0]), np.sort(wanted[:, 0]), atol=1e-6)


def test_held_out_clips_are_the_ends_of_the_sources() -> None:
    clips, held = ClipMixture([Dots(40), Dots(20)]).split(0.1, 4)
    assert len(clips) == 54 and len(held) == 4
    assert set(held.rows) <= {(0, i) for i in range(36, 40)} | {(1, 18), (1, 19)}


def test_shards_give_back_what_was_written(tmp_path: Path) -> None:
    clips = [Dots(8)[number] for number in range(5)]
    write_shard(tmp_path / "a.npz", clips[:3])
    write_shard(tmp_path / "b.npz", clips[3:])
    write_index(tmp_path, [("a.npz", 3), ("b.npz", 2)], {})
    shards = Shards(tmp_path)
    assert len(shards) == 5
    for number, clip in enumerate(clips):
        read = shards[number]
        assert read.images.shape == (2, SIZE, SIZE, 3)
        assert np.abs(read.images.astype(float) - clip.images).mean() < 6  # JPEG
        assert np.allclose(read.joints_px, clip.joints_px, atol=1e-3)
        assert np.allclose(read.hand_pose, clip.hand_pose, atol=1e-6) and (read.is_right == clip.is_right).all()
    (tmp_path / "b.npz").write_bytes(b"no")
    with pytest.raises(InputError, match=r"b\.npz' is not an npz"):
        Shards(tmp_path)[4]
    (tmp_path / "b.npz").unlink()
    with pytest.raises(InputError, match=r"shard 'b\.npz' is missing"):
        Shards(tmp_path)


def test_rendered_clips_are_the_same_again_and_refuse_other_settings(tmp_path: Path) -> None:
    models = load_hand_models("open")
    close = CloseUpOptions(size=64, frames=2)
    whole = crop_folder(tmp_path / "a", models, close, 4, seed=5)
    again = crop_folder(tmp_path / "b", models, close, 4, seed=5)
    assert len(whole) == 4 and (whole[3].images == again[3].images).all()
    assert (whole[0].images != whole[1].images).any()
    clip = whole[2]
    inside = (clip.joints_px > 0) & (clip.joints_px < 64)
    assert inside.all()
    with pytest.raises(RunFolderError, match=r"occluded = 0\.45, and 0\.1"):
        crop_folder(tmp_path / "a", models, CloseUpOptions(size=64, occluded=0.1), 4, seed=5)


def test_rendered_pairs_of_hands_have_both_sides(tmp_path: Path) -> None:
    clip = crop_folder(tmp_path, load_hand_models("open"), CloseUpOptions(size=64, frames=3, hands="both"), 2, seed=1)[
        1
    ]
    assert clip.is_right.tolist() == [True, False] and clip.joints_m.shape == (2, 3, 21, 3)
    assert clip.joints_m[0, 0, :, 0].mean() < clip.joints_m[1, 0, :, 0].mean()
