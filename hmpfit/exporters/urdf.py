"""Forward kinematics of a URDF's links for many frames at once, with derivatives.

Only what retargeting needs: positions of a few links, revolute, sliding and fixed joints, joints that mimic others.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.records import Floats


@dataclass(frozen=True)
class Joint:
    """One joint: where it stands in its parent link, and which independent joint moves it."""

    name: str
    kind: str  # "revolute", "prismatic" or "fixed"
    parent: str
    child: str
    origin: Floats  # [4, 4]
    axis: Floats  # [3]
    lower: float
    upper: float
    source: str  # its own name, or that of the joint it mimics
    multiplier: float
    offset: float


@dataclass(frozen=True)
class RobotKinematics:
    """The joints that lead to some links, and the N independent ones that move them."""

    chains: tuple[tuple[Joint, ...], ...]  # per link, from the base
    movable: tuple[Joint, ...]  # every movable joint of the file, in its order
    free: tuple[str, ...]  # [N] names of the independent joints

    def positions(self, angles: Floats) -> tuple[Floats, Floats]:
        """Return the links [T, K, 3] and their derivatives [T, K, 3, N] at independent angles [T, N]."""
        frames, links = len(angles), len(self.chains)
        places, slopes = np.zeros((frames, links, 3)), np.zeros((frames, links, 3, len(self.free)))
        for link, chain in enumerate(self.chains):
            pose, moved = np.tile(np.eye(4), (frames, 1, 1)), []
            for joint in chain:
                pose = pose @ joint.origin
                if joint.source not in self.free:
                    continue
                column = self.free.index(joint.source)
                value = joint.multiplier * angles[:, column] + joint.offset
                axis = pose[:, :3, :3] @ joint.axis
                moved.append((joint, column, axis, pose[:, :3, 3].copy()))
                step = np.tile(np.eye(4), (frames, 1, 1))
                if joint.kind == "prismatic":
                    step[:, :3, 3] = value[:, None] * joint.axis
                else:
                    step[:, :3, :3] = Rotation.from_rotvec(value[:, None] * joint.axis).as_matrix()
                pose = pose @ step
            places[:, link] = pose[:, :3, 3]
            for joint, column, axis, start in moved:
                turned = axis if joint.kind == "prismatic" else np.cross(axis, places[:, link] - start)
                slopes[:, link, :, column] += joint.multiplier * turned
        return places, slopes

    def all_angles(self, angles: Floats) -> Floats:
        """Return every movable joint's value [T, M], those that mimic and those held at 0 included."""
        columns = [
            joint.multiplier * angles[:, self.free.index(joint.source)] + joint.offset
            if joint.source in self.free
            else np.zeros(len(angles))
            for joint in self.movable
        ]
        return np.stack(columns, axis=1)

    def limits(self) -> tuple[Floats, Floats]:
        """Return the least and greatest values [N] of the independent joints, within those of mimicking joints."""
        low, high = [], []
        for name in self.free:
            own = next(joint for joint in self.movable if joint.name == name)
            low.append(own.lower)
            high.append(own.upper)
            for joint in self.movable:
                if joint.source == name and joint.name != name and joint.multiplier:
                    ends = sorted((end - joint.offset) / joint.multiplier for end in (joint.lower, joint.upper))
                    low[-1], high[-1] = max(low[-1], ends[0]), min(high[-1], ends[1])
        return np.array(low), np.array(high)


def read_urdf(path: Path, links: list[str], still: tuple[str, ...] = ()) -> RobotKinematics:
    """Read the kinematics that lead to `links`; joints named in `still` stay at 0."""
    joints = [_joint(element) for element in ElementTree.parse(path).getroot().findall("joint")]
    by_child = {joint.child: joint for joint in joints}
    chains = []
    for link in links:
        chain = []
        while link in by_child:
            chain.append(by_child[link])
            link = by_child[link].parent
        chains.append(tuple(reversed(chain)))
    movable = tuple(joint for joint in joints if joint.kind != "fixed")
    free = tuple(joint.name for joint in movable if joint.source == joint.name and joint.name not in still)
    return RobotKinematics(tuple(chains), movable, free)


def _joint(element: ElementTree.Element) -> Joint:
    origin, limit, mimic = element.find("origin"), element.find("limit"), element.find("mimic")
    pose = np.eye(4)
    if origin is not None:
        pose[:3, 3] = _numbers(origin.get("xyz", "0 0 0"))
        pose[:3, :3] = Rotation.from_euler("xyz", _numbers(origin.get("rpy", "0 0 0"))).as_matrix()
    axis = element.find("axis")
    direction = _numbers(axis.get("xyz", "1 0 0")) if axis is not None else np.array([1.0, 0.0, 0.0])
    name, kind = str(element.get("name")), str(element.get("type"))
    parent, child = element.find("parent"), element.find("child")
    assert parent is not None and child is not None
    return Joint(
        name=name,
        kind=kind,
        parent=str(parent.get("link")),
        child=str(child.get("link")),
        origin=pose,
        axis=direction / max(float(np.linalg.norm(direction)), 1e-12),
        lower=float(limit.get("lower", 0)) if limit is not None else 0.0,
        upper=float(limit.get("upper", 0)) if limit is not None else 0.0,
        source="" if kind == "fixed" else name if mimic is None else str(mimic.get("joint")),
        multiplier=1.0 if mimic is None else float(mimic.get("multiplier", 1)),
        offset=0.0 if mimic is None else float(mimic.get("offset", 0)),
    )


def _numbers(text: str) -> Floats:
    return np.array([float(word) for word in text.split()])
