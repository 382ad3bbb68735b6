"""Generated motion: deterministic, inside human ranges, smooth, and what its names say."""

import numpy as np
import pytest

from hmpfit.errors import UnknownNameError
from hmpfit.hands.joint_limits import ANATOMICAL_AXES
from hmpfit.skeleton import MANO_HAND_JOINTS
from hmpfit.synthesis.hand_degrees_of_freedom import DOFS, Subject, angles_to_hand_pose, compose, soft_clip
from hmpfit.synthesis.handshapes import GESTURES, GRASPS, LETTERS, WORDS
from hmpfit.synthesis.motion import EVERYTHING, HELD_OUT, KINDS, TRAINING, generate_motion
from hmpfit.synthesis.pinches import _pads, pinched
from hmpfit.synthesis.scene import Scene
from hmpfit.synthesis.timing import minimum_jerk, smooth_noise, through, tremor


def plain_subject() -> Subject:
    return Subject(2 / 3, 0.0, np.ones(len(DOFS)), np.zeros(len(DOFS)), np.zeros((15, 3)), 0.0, 1.0)


def flexion(pose: np.ndarray, joint: str) -> np.ndarray:
    j = MANO_HAND_JOINTS.index(joint)
    return np.rad2deg(pose[..., j, :] @ ANATOMICAL_AXES[j, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_repeatable_finite_and_human(kind: str) -> None:
    first, again = (generate_motion(kind, 3.0, 30.0, np.random.default_rng(5)) for _ in range(2))
    other = generate_motion(kind, 3.0, 30.0, np.random.default_rng(6))
    assert first.shape == (90, 15, 3) and np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.isfinite(first).all()
    assert np.linalg.norm(first, axis=-1).max() < np.deg2rad(140)
    for finger in ("index", "middle", "ring", "pinky"):
        bend = flexion(first, f"{finger}2")
        assert bend.min() > -25 and bend.max() < 128  # range of motion plus the person's own offset
    speed = np.rad2deg(np.linalg.norm(np.diff(first, axis=0), axis=-1)) * 30
    assert speed.mean() > 0.5 and speed.max() < 2500


def test_the_unknown_kind_lists_the_known() -> None:
    with pytest.raises(UnknownNameError, match="finger_waves"):
        generate_motion("juggling", 1, 30, np.random.default_rng(0))


def test_frame_rate_changes_the_samples_not_the_motion() -> None:
    generator = np.random.default_rng
    assert len(generate_motion("gestures", 2.0, 120.0, generator(0))) == 240
    times = {fps: np.arange(round(2 * fps)) / fps for fps in (30.0, 120.0)}
    shapes = [GESTURES[name] for name in ("fist", "open", "point")]
    takes = []
    for fps, at in times.items():
        scene = Scene(plain_subject(), at, fps, generator(3), EVERYTHING)
        takes.append(angles_to_hand_pose(scene.sequence(shapes, (0.3, 0.4), (0.1, 0.2)), plain_subject()))
    assert np.abs(takes[0] - takes[1][::4]).max() < 1e-9


def test_words_and_grasps_left_out_never_occur_in_training() -> None:
    assert not set(TRAINING.words) & set(HELD_OUT.words) and not set(TRAINING.grasps) & set(HELD_OUT.grasps)
    assert set(TRAINING.words) | set(HELD_OUT.words) == set(WORDS)
    assert set(TRAINING.grasps) | set(HELD_OUT.grasps) == set(GRASPS)
    scene = Scene(plain_subject(), np.arange(3) / 30, 30, np.random.default_rng(0), TRAINING)
    assert not {name for name in scene.shapes if name.removesuffix("_open") in HELD_OUT.grasps}
    assert all(letter in LETTERS for word in WORDS for letter in word)


def test_a_fist_is_closed_and_a_flat_hand_is_flat() -> None:
    scene = Scene(plain_subject(), np.arange(2) / 30, 30, np.random.default_rng(0), EVERYTHING)
    fist, flat = (
        angles_to_hand_pose(scene.posture(GESTURES[name], looseness=0)[None], plain_subject())[0]
        for name in ("fist", "flat")
    )
    for finger in ("index", "middle", "ring", "pinky"):
        assert flexion(fist, f"{finger}1") > 70 and flexion(fist, f"{finger}2") > 85
        assert flexion(fist, f"{finger}3") == pytest.approx(2 / 3 * flexion(fist, f"{finger}2"), abs=1)
        assert abs(flexion(flat, f"{finger}1")) < 3 and abs(flexion(flat, f"{finger}2")) < 8


def test_enslaved_neighbors_follow() -> None:
    angles = np.zeros((1, len(DOFS)))
    angles[0, DOFS.index("ring_mcp")] = 60
    alone = angles_to_hand_pose(angles, plain_subject())
    typical = Subject(2 / 3, 1.0, np.ones(len(DOFS)), np.zeros(len(DOFS)), np.zeros((15, 3)), 0.0, 1.0)
    dragged = angles_to_hand_pose(angles, typical)
    assert flexion(alone, "pinky1")[0] == pytest.approx(0, abs=0.1)
    assert flexion(dragged, "pinky1")[0] > 5 and flexion(dragged, "index1")[0] < 2
    assert flexion(dragged, "ring1")[0] < flexion(alone, "ring1")[0]


@pytest.mark.parametrize("finger", ["index", "middle", "ring", "pinky"])
def test_a_pinch_brings_the_pads_together(finger: str) -> None:
    scene = Scene(plain_subject(), np.arange(2) / 30, 30, np.random.default_rng(0), EVERYTHING)
    before = scene.posture(GESTURES["relaxed"], looseness=0)
    after = pinched(before, (finger,), plain_subject())
    gaps = []
    for angles in (before, after):
        pads = _pads(angles_to_hand_pose(angles[None], plain_subject()), (finger, "thumb"))
        gaps.append(float(np.linalg.norm(pads[finger][0] - pads["thumb"][0])))
    assert gaps[0] > 20 and gaps[1] < (16 if finger == "pinky" else 6)  # millimeters; this palm does not fold


def test_minimum_jerk_rests_at_both_ends() -> None:
    phase = np.linspace(-0.2, 1.2, 1401)
    curve = minimum_jerk(phase)
    assert curve[0] == 0 and curve[-1] == 1 and minimum_jerk(np.array(0.5)) == pytest.approx(0.5)
    velocity = np.gradient(curve, phase)
    assert velocity.max() == pytest.approx(1.875, rel=1e-3)  # Flash and Hogan: peak is 15/8 of the mean
    assert abs(velocity[200]) < 1e-3 and abs(velocity[1200]) < 1e-3


def test_moves_reach_their_postures() -> None:
    postures = np.array([[0.0, 10.0], [40.0, -5.0], [0.0, 0.0]])
    times = np.arange(0, 3, 0.01)
    path = through(postures, np.array([0.5, 0.5]), np.array([0.5, 0.5]), times, np.random.default_rng(0))
    assert np.allclose(path[0], postures[0], atol=0.1)
    assert np.allclose(path[80], postures[1], atol=0.01) and np.allclose(path[-1], postures[2], atol=1e-9)


def test_noise_has_unit_size_and_its_cutoff() -> None:
    noise = smooth_noise(6000, 4, 30.0, 1.0, np.random.default_rng(0))
    assert noise.shape == (6000, 4) and noise.std() == pytest.approx(1, abs=0.15)
    power = np.abs(np.fft.rfft(noise, axis=0)) ** 2
    frequency = np.fft.rfftfreq(6000, 1 / 30)
    assert power[frequency > 3].sum() < 0.01 * power.sum()
    shake = tremor(3000, 2, 60.0, np.random.default_rng(0))
    peak = np.fft.rfftfreq(3000, 1 / 60)[(np.abs(np.fft.rfft(shake, axis=0)) ** 2).sum(1).argmax()]
    assert 4 < peak < 14


def test_limits_are_soft_stops() -> None:
    x = np.linspace(-60, 160, 2000)
    y = soft_clip(x, np.full_like(x, -20.0), np.full_like(x, 90.0))
    assert y.min() >= -20 and y.max() <= 90 and (np.diff(y) >= 0).all()
    inside = (x > -13) & (x < 83)
    assert np.allclose(y[inside], x[inside])


def test_compose_is_the_product_of_rotations() -> None:
    from scipy.spatial.transform import Rotation

    a, b = np.random.default_rng(0).normal(0, 0.7, (2, 50, 3))
    expected = (Rotation.from_rotvec(a) * Rotation.from_rotvec(b)).as_rotvec()
    assert np.abs(compose(a, b) - expected).max() < 1e-12
