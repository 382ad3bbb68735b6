"""The messages of a frame as JSON: the schema of the lines on stdout and of the WebSocket (docs/live.md).

The keys are a contract: add, never rename.
"""

from typing import Any

from hmpfit.live.records import LiveCounts, LiveEstimate, LiveHand
from hmpfit.records import STATUS_NAMES, Camera
from hmpfit.skeleton import MANO_JOINTS, OPENPOSE_21
from hmpfit.strict_json import to_json

SCHEMA = "hmpfit.live.1"
_METERS, _RADIANS, _PIXELS = 5, 5, 2  # digits: a hundredth of a millimeter, of a milliradian, of a pixel


def header(camera: Camera, fps: float) -> str:
    """Return the first message: what the numbers of the others mean."""
    return to_json(
        {
            "schema": SCHEMA,
            "type": "start",
            "width": camera.width,
            "height": camera.height,
            "K": camera.K[0].tolist(),
            "camera_source": camera.source,
            "fps": fps,
            "joint_names": list(OPENPOSE_21),
            "pose_names": list(MANO_JOINTS[1:]),
            "axes": "x right, y down, z forward; meters, radians, pixels",
        }
    )


def frame_message(estimate: LiveEstimate) -> str:
    """Return the message of one frame."""
    return to_json(
        {
            "type": "frame",
            "frame": estimate.number,
            "time_s": round(estimate.time_s, 4),
            "lag_s": round(estimate.lag_s, 4),
            "hands": [_hand(hand) for hand in estimate.hands],
        }
    )


def end_message(counts: LiveCounts, reason: str) -> str:
    """Return the last message: what became of the frames, and why there are no more."""
    return to_json(
        {
            "type": "end",
            "arrived": counts.arrived,
            "dropped": counts.dropped,
            "known": counts.known,
            "reason": reason,
        }
    )


def _hand(hand: LiveHand) -> dict[str, Any]:
    return {
        "id": hand.hand_id,
        "side": "right" if hand.is_right else "left",
        "status": STATUS_NAMES[hand.status],
        "joints": hand.joints.round(_METERS).tolist(),
        "landmarks_px": hand.landmarks_px.round(_PIXELS).tolist(),
        "global_orient": hand.global_orient.round(_RADIANS).tolist(),
        "hand_pose": hand.hand_pose.round(_RADIANS).tolist(),
        "transl": hand.transl.round(_METERS).tolist(),
        "betas": hand.betas.round(_RADIANS).tolist(),
    }
