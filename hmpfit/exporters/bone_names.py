"""Names of bones for programs that recognize a hand by them: MANO's joints, VRM 1.0's humanoid, ARKit's skeleton.

Source: VRM 1.0 specification, humanoid bones; ARKit's `ARSkeleton` hand joints as in `arkit_name`.
"""

from hmpfit.errors import UnknownNameError

BONE_NAMES = ("mano", "vrm", "arkit")
_VRM_THUMB = ("Metacarpal", "Proximal", "Distal")
_VRM_FINGER = ("Proximal", "Intermediate", "Distal")
_ARKIT = ("Knuckle", "IntermediateBase", "IntermediateTip")


def bone_name(style: str, label: str, joint: str) -> str:
    """Return the bone's name of a joint of the hand `label` ("right", "left", "right2", ...), "index1" or "index_tip".

    VRM has no bones for tips; theirs are named alike (`leftIndexTip`). Raises UnknownNameError for another style.
    """
    if style not in BONE_NAMES:
        raise UnknownNameError("bone names", style, BONE_NAMES)
    if style == "mano":
        return f"{label}_{joint}"
    if joint == "wrist":
        return f"{label}Hand"
    finger, part = joint.rstrip("123").removesuffix("_tip"), joint[-1]
    thumb, little = finger == "thumb", "little" if finger == "pinky" else finger
    if style == "vrm":
        place = f"{label}{little.capitalize()}"
        return f"{place}Tip" if part == "p" else place + (_VRM_THUMB if thumb else _VRM_FINGER)[int(part) - 1]
    place = f"{label}{little.capitalize()}" + ("" if thumb else "Finger")
    return f"{place}Tip" if part == "p" else place + _ARKIT[int(part) - 1]
