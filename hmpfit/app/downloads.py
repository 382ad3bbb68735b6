"""Downloads of a finished job: its own files, and every export as one file (several are zipped)."""

import threading
import zipfile
from dataclasses import dataclass
from pathlib import Path

from hmpfit import registry
from hmpfit.app.jobs import FitJob
from hmpfit.errors import InputError

OWN_FILES = ("result.npz", "result.json", "report.html", "overlay.mp4", "overlay.jpg")
_TITLES = {
    "glb": "GLB, animated meshes (Blender, three.js)",
    "usd": "USD, skeleton and mesh",
    "bvh": "BVH, motion capture",
    "blender": "Blender script with GLB",
    "obj": "OBJ, one mesh a frame",
    "csv": "CSV, joints",
    "json": "JSON, joints",
    "angles": "CSV, joint angles in degrees",
    "trc": "TRC, OpenSim markers",
    "c3d": "C3D, biomechanics",
    "mano": "MANO parameters (npz)",
    "amass": "AMASS-style npz",
    "hamer": "HaMeR-style npz",
    "coco": "COCO-WholeBody JSON",
    "openxr": "OpenXR hand joints",
    "rrd": "rerun recording",
    "parquet": "parquet, 2D and 3D keypoints",
    "lerobot": "LeRobot data set (v3.0)",
    "ho3d": "HO3D-style pickles",
    "egodex": "EgoDex-style HDF5",
}
_NEEDS_MORE = ("smplx", "npz")  # a body to fill; and the result itself, which is offered as it is
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Format:
    """An entry of the page's list: what `--to` takes, and words for it."""

    name: str
    title: str


def formats() -> list[Format]:
    """Return what a job can be downloaded as, in the order of the page."""
    from hmpfit.exporters.robot_hands import ROBOTS

    known = [name for name in registry.names("exporters") if name not in (*_NEEDS_MORE, "robot")]
    ordered = sorted(known, key=lambda name: (list(_TITLES).index(name) if name in _TITLES else len(_TITLES), name))
    robots = [Format(f"robot:{name}", f"robot hand {name}, joint angles") for name in ROBOTS]
    return [*(Format(name, _TITLES.get(name, name)) for name in ordered), *robots]


def export(job: FitJob, name: str) -> Path:
    """Write one format of a finished job and return the file to download. Raises HmpfitError with one sentence."""
    from hmpfit.interfaces.exporter import ExportOptions
    from hmpfit.results.matching import read_with_model

    if name not in {known.name for known in formats()}:
        raise InputError(f"There is no format '{name}'.")
    base, _, variant = name.partition(":")
    with _ONE_AT_A_TIME:
        result, models = read_with_model(job.run, "open")
        folder = job.folder / "exports" / name.replace(":", "_")
        folder.mkdir(parents=True, exist_ok=True)
        options = ExportOptions(
            variant=variant or None, video=job.video, mirrored=bool(job.choices.get("mirrored")),
            first_frame=(job.choices.get("frames") or (0, 0))[0],
        )  # fmt: skip
        files = registry.load("exporters", base)(result, models, folder, options)
        return files[0] if len(files) == 1 and files[0].is_file() else _zipped(folder, name.replace(":", "_"))


def _zipped(folder: Path, name: str) -> Path:
    file = folder.parent / f"{name}.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, Path(name) / path.relative_to(folder))
    return file
