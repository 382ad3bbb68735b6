"""A rerun recording (`.rrd`): meshes, skeletons, camera and uncertainty over time, for rerun's own viewer."""

from pathlib import Path

import numpy as np

from hmpfit.errors import MissingExtraError
from hmpfit.exporters.animation import hand_labels, hand_vertices
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import STATUS_NAMES
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import BONES

_RGB = {True: (250, 150, 70), False: (80, 170, 250)}  # the overlay's colors


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `out/hands.rrd`, or `out` itself if it ends in .rrd; timelines `frame` and `time`, camera axes, meters.

    Raises MissingExtraError when rerun-sdk is not installed.
    """
    try:
        import rerun as rr
    except ModuleNotFoundError as error:
        raise MissingExtraError("--to rrd", "rerun-sdk", "pip install rerun-sdk==0.23.1 (or hmpfit[view])") from error
    file = out if out.suffix == ".rrd" else out / "hands.rrd"
    file.parent.mkdir(parents=True, exist_ok=True)
    camera, vertices, labels = result.camera, hand_vertices(result, models), hand_labels(result)
    # A fixed id makes the same result the same recording.
    recording = rr.RecordingStream("hmpfit", recording_id="hmpfit")
    recording.save(str(file))
    recording.log("camera", rr.ViewCoordinates.RDF, static=True)
    K = np.broadcast_to(camera.K, (len(result.tracks.times_s), 3, 3))
    bones = np.array(BONES)
    for frame, time_s in enumerate(result.tracks.times_s):
        recording.set_time("frame", sequence=frame)
        recording.set_time("time", duration=float(time_s - result.tracks.times_s[0]))
        if frame == 0 or len(camera.K) > 1:
            pinhole = rr.Pinhole(
                image_from_camera=K[frame], resolution=[camera.width, camera.height], image_plane_distance=0.3
            )
            recording.log("camera/image", pinhole)
        for hand, label in enumerate(labels):
            is_right = bool(result.motion.is_right[hand])
            model, joints = models.side(is_right), result.joints[hand, frame]
            faces = model.faces if is_right else model.faces[:, ::-1]
            mesh = rr.Mesh3D(
                vertex_positions=vertices[hand, frame], triangle_indices=faces, albedo_factor=[*_RGB[is_right], 255]
            )
            recording.log(f"camera/{label}_hand/mesh", mesh)
            recording.log(f"camera/{label}_hand/joints", rr.Points3D(joints, radii=0.003))
            recording.log(f"camera/{label}_hand/bones", rr.LineStrips3D(joints[bones], radii=0.0015))
            status = STATUS_NAMES[int(result.motion.status[hand, frame])]
            recording.log(f"{label}_hand/status", rr.TextLog(status))
            std_mm = float(np.median(result.joint_std_mm[hand, frame]))
            if np.isfinite(std_mm):
                recording.log(f"{label}_hand/joint_std_mm", rr.Scalars(std_mm))
    recording.flush(blocking=True)
    del recording
    return [file]
