"""A GLB and the script that opens it in Blender at the clip's frame rate, with camera and clip."""

import json
from pathlib import Path

from hmpfit.exporters import blender_scene, glb
from hmpfit.exporters.animation import frames_per_second
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.results.npz import StoredResult

GLB, SCRIPT = "hands.glb", "hands_in_blender.py"

_MAIN = """

if __name__ == "__main__":
    import json

    build(json.loads({}), Path(__file__).resolve().parent)
"""


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `hands_in_blender.py` and `hands.glb` to the folder `out`; run `blender --python hands_in_blender.py`."""
    out.mkdir(parents=True, exist_ok=True)
    camera = result.camera
    settings = {
        "file": GLB,
        "fps": round(frames_per_second(result), 6),
        "frames": len(result.tracks.times_s),
        "first_frame": options.first_frame,
        "width": camera.width,
        "height": camera.height,
        "K": camera.K[0].tolist(),
        "video": None if options.video is None else str(options.video.resolve()),
    }
    (out / SCRIPT).write_text(Path(blender_scene.__file__).read_text() + _MAIN.format(json.dumps(json.dumps(settings))))
    return [out / SCRIPT, *glb.write(result, models, out / GLB, options)]
