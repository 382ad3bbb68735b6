"""Robot hands that motions are retargeted to: their URDF files and their links at the fingertips.

The URDF files come with the package dexi-rs (Allegro, Shadow, LEAP, Inspire, Ability, Schunk SVH, Panda's gripper, each
under its maker's license). A new hand is a line in ROBOTS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hmpfit.errors import InputError, MissingExtraError, UnknownNameError


@dataclass(frozen=True)
class RobotHand:
    """What a robot hand is called in its URDF; `tips` by human finger."""

    urdf: str  # below dexi-rs's folder of hands; {side} is "right" or "left"
    tips: Mapping[str, str]
    still: tuple[str, ...] = ()  # joints that the fingers do not move, held at 0
    jaws: bool = False  # a parallel gripper


def _five(pattern: str, fingers: str) -> dict[str, str]:
    names = ("thumb", "index", "middle", "ring", "pinky")
    return {name: pattern.format(word) for name, word in zip(names, fingers.split(), strict=False)}


_WORDS = "thumb index middle ring pinky"
ROBOTS: Final[Mapping[str, RobotHand]] = {
    "allegro": RobotHand("allegro_hand/allegro_hand_{side}.urdf", _five("link_{}.0_tip", "15 3 7 11")),
    "shadow": RobotHand("shadow_hand/shadow_hand_{side}.urdf", _five("{}tip", "th ff mf rf lf"), ("WRJ2", "WRJ1")),
    "leap": RobotHand("leap_hand/leap_hand_{side}.urdf", _five("{}_tip_head", "thumb index middle ring")),
    "inspire": RobotHand("inspire_hand/inspire_hand_{side}.urdf", _five("{}_tip", _WORDS)),
    "ability": RobotHand("ability_hand/ability_hand_{side}.urdf", _five("{}_tip", _WORDS)),
    "svh": RobotHand("schunk_hand/schunk_svh_hand_{side}.urdf", _five("{}tip", "th ff mf rf lf")),
    "gripper": RobotHand(
        "panda_gripper/panda_gripper_glb.urdf", {"thumb": "panda_leftfinger", "index": "panda_rightfinger"}, jaws=True
    ),
}


def find_robot(name: str | None) -> RobotHand:
    """Return the robot hand of that name; raises InputError without a name, UnknownNameError for another."""
    if name is None:
        raise InputError(f"--to robot needs a hand: robot:NAME, one of {', '.join(sorted(ROBOTS))}.")
    if name not in ROBOTS:
        raise UnknownNameError("robot hand", name, ROBOTS)
    return ROBOTS[name]


def urdf_path(robot: RobotHand, is_right: bool) -> Path:
    """Return the URDF of one side; raises MissingExtraError when dexi-rs is not installed."""
    try:
        import dexi_rs
    except ModuleNotFoundError as error:
        raise MissingExtraError("--to robot", "dexi_rs", "pip install dexi-rs (or hmpfit[robots])") from error
    side = "right" if is_right else "left"
    return Path(dexi_rs.asset_path(f"robots/hands/{robot.urdf.format(side=side)}"))
