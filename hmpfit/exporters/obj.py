"""OBJ sequences: one mesh file per hand and frame, upright axes (y up), meters."""

from pathlib import Path

from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, hand_labels, hand_vertices
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.results.npz import StoredResult


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `out/<side>_hand/<frame, six digits>.obj` and return the files; the vertex order is the hand model's."""
    files = []
    for hand, label in enumerate(hand_labels(result)):
        is_right = bool(result.motion.is_right[hand])
        faces = models.side(is_right).faces if is_right else models.side(is_right).faces[:, ::-1]
        tail = "".join(f"f {a} {b} {c}\n" for a, b, c in faces + 1)
        folder = out / f"{label}_hand"
        folder.mkdir(parents=True, exist_ok=True)
        for frame, vertices in enumerate(hand_vertices(result, models)[hand] @ UPRIGHT_FROM_CAMERA):
            file = folder / f"{frame:06d}.obj"
            head = "".join(f"v {x:.7f} {y:.7f} {z:.7f}\n" for x, y, z in vertices)
            file.write_text(f"# hmpfit: {label} hand, frame {frame}, meters, y up\no {label}_hand\n{head}{tail}")
            files.append(file)
    return files
