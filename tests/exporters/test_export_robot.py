"""Retargeting: the file's joints, put into the robots' URDFs by other libraries, bring the fingertips where it says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hmpfit.errors import InputError, UnknownNameError
from hmpfit.exporters.animation import hand_labels
from hmpfit.exporters.robot_hands import ROBOTS, find_robot, urdf_path
from hmpfit.exporters.urdf import read_urdf
from hmpfit.skeleton import openpose
from hmpfit.synthesis.motion import generate_motion
from tests.exported_cases import FRAMES, TENTH_MM, Case, all_cases, make_case

dexi_rs = pytest.importorskip("dexi_rs")
HANDS = sorted(set(ROBOTS) - {"gripper"})


def retargeted(case: Case, name: str, out: Path) -> dict:
    case = replace(case, options=replace(case.options, variant=name))
    (file,) = case.write("robot", out)
    found: dict = json.loads(file.read_text())
    return found


def tips_by_dexi(hand: dict, name: str) -> np.ndarray:
    """Return the tips [T, K, 3] that dexi-rs's own kinematics give."""
    links = hand["tip_links"]
    config = dexi_rs.RetargetingConfig(
        type="position", urdf_path=str(urdf_path(find_robot(name), hand["is_right"])), target_link_names=links,
        target_link_human_indices=[0] * len(links),
    )  # fmt: skip
    solver = config.build()
    order = [hand["joint_names"].index(joint) for joint in solver.joint_names]
    angles = np.array(hand["angles"])[:, order]
    return np.array([solver.link_positions(frame.tolist(), links) for frame in angles])


@pytest.mark.parametrize(
    ("hands", "frame"),
    [
        ("one", "world"),
        ("two", "camera"),
        *(
            pytest.param(hands, frame, marks=pytest.mark.slow)
            for hands, frame in (("one", "camera"), ("two", "world"), ("three", "camera"), ("three", "world"))
        ),
    ],
)
def test_fingertips_are_where_the_file_says(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    found = retargeted(case, "allegro", tmp_path)
    assert [hand["hand"] for hand in found["hands"]] == hand_labels(case.result)
    for number, hand in enumerate(found["hands"]):
        tips, angles = tips_by_dexi(hand, "allegro"), np.array(hand["angles"])
        assert np.abs(tips - hand["tips_m"]).max() < TENTH_MM
        assert (angles >= np.array(hand["lower"]) - 1e-6).all() and (angles <= np.array(hand["upper"]) + 1e-6).all()
        # In the exported frame, the robot's tips stray from the human's, scaled about the wrist, by what the file says.
        base = Rotation.from_quat(hand["base_orientation_xyzw"]).as_matrix()
        robot = np.einsum("tij,tkj->tki", base, tips) + np.array(hand["base_position_m"])[:, None]
        wrist = case.result.joints[number, :, :1]
        human = case.result.joints[number][:, [openpose(f"{finger}_tip") for finger in hand["fingers"]]]
        target = wrist + hand["mount"]["scale"] * (human - wrist)
        error_mm = 1000 * np.linalg.norm(robot - target, axis=-1)
        assert np.abs(error_mm - hand["fingertip_error_mm"]).max() < 0.1


@pytest.mark.parametrize("name", HANDS)
def test_kinematics_agree_with_pytransform3d_and_their_derivatives(name: str) -> None:
    UrdfTransformManager = pytest.importorskip("pytransform3d.urdf").UrdfTransformManager
    robot, generator = find_robot(name), np.random.default_rng(1)
    for is_right in (True, False):
        urdf = urdf_path(robot, is_right)
        ours = read_urdf(urdf, list(robot.tips.values()), robot.still)
        angles = generator.uniform(*ours.limits(), size=(2, len(ours.free)))
        places, slopes = ours.positions(angles)
        theirs = UrdfTransformManager()
        theirs.load_urdf(urdf.read_text())
        for joint, value in zip(ours.movable, ours.all_angles(angles)[1], strict=True):
            assert joint.lower - 1e-6 <= value <= joint.upper + 1e-6
            theirs.set_joint(joint.name, value)
        base = ours.chains[0][0].parent
        for link, place in zip(robot.tips.values(), places[1], strict=True):
            assert np.abs(theirs.get_transform(link, base)[:3, 3] - place).max() < TENTH_MM / 10
        step = 1e-6 * generator.normal(size=angles.shape)
        moved = ours.positions(angles + step)[0]
        assert np.allclose(moved - places, np.einsum("tkcn,tn->tkc", slopes, step), atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("name", HANDS)
def test_every_hand_follows_generated_motion(name: str, tmp_path: Path) -> None:
    from hmpfit.hands.mano import pose_hands

    case = make_case("two", "camera", 24)
    pose = generate_motion("mixed", 8.0, 3.0, np.random.default_rng(7))
    motion = replace(case.result.motion, hand_pose=np.stack((pose, pose * [1, -1, -1])), betas=np.zeros((2, 10)))
    result = replace(case.result, motion=motion, joints=pose_hands(case.models, motion).joints)
    for hand in retargeted(replace(case, result=result), name, tmp_path)["hands"]:
        assert np.abs(tips_by_dexi(hand, name) - hand["tips_m"]).max() < TENTH_MM
        # Six motors cannot do what sixteen do.
        assert hand["fingertip_error_mm_median"] < (5 if name in ("allegro", "shadow", "leap") else 25)


@all_cases
def test_the_gripper_opens_as_thumb_and_index_do(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    for number, hand in enumerate(retargeted(case, "gripper", tmp_path)["hands"]):
        jaws = np.array(hand["angles"])
        thumb, index = (case.result.joints[number, :, openpose(f"{finger}_tip")] for finger in hand["fingers"])
        distance = np.linalg.norm(thumb - index, axis=1)
        assert np.allclose(jaws.sum(1), np.clip(distance, 0, 0.08), atol=1e-6)
        base = Rotation.from_quat(hand["base_orientation_xyzw"])
        between = np.array(hand["base_position_m"]) + base.apply(np.tile([0, 0, 0.1034], (FRAMES, 1)))
        assert np.abs(between - (thumb + index) / 2).max() < TENTH_MM
        tip = between + base.apply(np.column_stack((np.zeros(FRAMES), distance / 2, np.zeros(FRAMES))))
        assert np.abs(tip - thumb).max() < TENTH_MM


def test_robots_need_a_known_name(tmp_path: Path) -> None:
    case = make_case("one", "camera")
    with pytest.raises(InputError, match="robot:NAME, one of ability, allegro"):
        case.write("robot", tmp_path)
    with pytest.raises(UnknownNameError, match="Unknown robot hand 'optimus'; known: ability"):
        retargeted(case, "optimus", tmp_path)


@pytest.mark.slow
def test_fingertips_follow_the_pinches_of_a_real_hand(inputs: Path, tmp_path: Path) -> None:
    from hmpfit.command_line.main import main

    commands = (
        ["run", str(inputs / "clips" / "pinches.mp4"), "-o", str(tmp_path / "run"), "--quiet"],
        [
            "export",
            str(tmp_path / "run"),
            "--to",
            "robot:allegro",
            "--to",
            "robot:shadow",
            "-o",
            str(tmp_path),
            "--quiet",
        ],
    )
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert not ended.value.code
    for name in ("allegro", "shadow"):
        (hand,) = json.loads((tmp_path / f"robot_{name}.json").read_text())["hands"]
        assert hand["fingertip_error_mm_max"] < 15
