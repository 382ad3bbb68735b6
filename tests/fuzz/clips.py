"""Containers and photos with metadata, truth sets, run folders to learn from, training states, data sets to add to.

Separate from `families.py`, whose inputs are made by one call; these need encoders, or readers that write as well.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hmpfit.errors import HmpfitError
from tests.fuzz.families import FRAMES, TIMES, Family, models, run_command

_CODERS = {"mkv": "libx264", "webm": "libvpx-vp9", "avi": "mpeg4", "ts": "libx264", "mov": "mjpeg", "gif": "gif"}


def _pixels(count: int = FRAMES) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(90, 110, (48, 64, 3)).astype(np.uint8) for _ in range(count)]


def _container(suffix: str) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        import av

        with av.open(str(folder / f"v.{suffix}"), "w") as container:
            container.metadata["title"] = "A clip with a title"
            stream = container.add_stream(_CODERS[suffix], rate=30)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = {"gif": "rgb8", "mjpeg": "yuvj420p"}.get(_CODERS[suffix], "yuv420p")
            for image in _pixels():
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))

    return build


def _use_clip(folder: Path) -> None:
    from hmpfit.video.clip import open_clip

    for path in sorted(path for path in folder.iterdir() if not path.name.startswith(".")):
        clip = open_clip(path)
        shapes = {image.shape for _, image in clip.images()}
        assert shapes <= {(clip.height, clip.width, 3)} and np.isfinite(clip.times_s).all()
        assert clip.store.focal_px is None or np.isfinite(clip.store.focal_px)


def _photos(folder: Path) -> None:
    from PIL import ExifTags, Image

    image = Image.fromarray(_pixels(1)[0])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "A maker"
    camera = exif.get_ifd(ExifTags.IFD.Exif)
    camera[ExifTags.Base.FocalLength] = 4.2
    camera[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    image.save(folder / "a.jpg", exif=exif)
    image.save(folder / "b.webp", exif=exif)
    image.save(folder / "c.png", exif=exif)
    image.save(folder / "d.tif", save_all=True, append_images=[image])
    image.save(folder / "e.gif", save_all=True, append_images=[image])


def _use_photos(folder: Path) -> None:
    from hmpfit.video.clip import open_clip
    from hmpfit.video.image_file import focal_px

    for path in sorted(folder.glob("?.*")):
        try:
            clip = open_clip(path)
            assert focal_px(path, clip.width, clip.height) is None or clip.store.focal_px is not None
            list(clip.images())
        except HmpfitError:
            continue


def _truth_set(folder: Path) -> None:
    from tests.fuzz.families import _video

    (folder / "desk").mkdir()
    _video(folder / "desk")
    joints = np.random.default_rng(0).normal(scale=0.05, size=(2, FRAMES, 21, 3)) + np.array([0, 0, 0.5])
    np.savez(folder / "desk" / "v.truth.npz", joints=joints, reprojection_px=np.ones((2, FRAMES, 21)),
             is_right=np.array([True, False]), times_s=TIMES)  # fmt: skip
    K = [[60.0, 0, 32], [0, 60.0, 24], [0, 0, 1]]
    (folder / "desk" / "v.intrinsics.json").write_text(json.dumps({"K": K}))


def _use_truth_set(folder: Path) -> None:
    from hmpfit.datasets.opening import open_dataset

    for sequence in open_dataset(f"truth:{folder}").sequences:
        assert sequence.camera is not None and sequence.truth().joints_m.ndim == 4


def _run_to_learn_from(folder: Path) -> None:
    from tests.fuzz.families import _video
    from tests.made_result import summary_of, two_hands, write_run

    run = folder / "run"
    run.mkdir()
    stored = two_hands(models(), FRAMES)
    write_run(run, stored, models())
    _video(run)
    about = {**summary_of(stored), "video": "run/v.mp4", "first_frame": 0}
    (run / "result.json").write_text(json.dumps(about))


def _use_run_to_learn_from(folder: Path) -> None:
    from hmpfit.datasets.run_clips import open_runs

    open_runs(folder, folder / ".cache")


def _training_state(folder: Path) -> None:
    import torch

    from hmpfit.training.states import LAST, SafetensorsStates

    state = {"global_step": 7, "epoch": 1, "state_dict": {"a.weight": torch.randn(3, 4), "a.bias": torch.zeros(3)},
             "loops": {"fit": (1, 2.5, None, float("inf"))}, "optimizer_states": [{"lr": 0.1}]}  # fmt: skip
    SafetensorsStates().save_checkpoint(state, folder / LAST)
    (folder / "metrics.csv").write_text("step,loss\n" + "".join(f"{n},{1 / (n + 1)}\n" for n in range(9)))


def _use_training_state(folder: Path) -> None:
    from hmpfit.training.logs import whole_log
    from hmpfit.training.states import last_state, read_state

    last = last_state(folder)
    if last is not None:
        read_state(last)
    with whole_log(folder / "metrics.csv", 5):
        pass


def _all_formats(folder: Path) -> None:
    from tests.fuzz.families import _run_folder, _video

    _run_folder(folder)
    _video(folder)


_SINGLE = ("angles", "bvh", "c3d", "coco", "egodex", "glb", "hamer", "ho3d", "mano", "npz", "obj", "openxr", "parquet",
           "rrd", "trc", "usd")  # fmt: skip


def _use_all_formats(folder: Path) -> None:
    formats = [word for name in _SINGLE for word in ("--to", name)]
    run_command(["export", str(folder), *formats, "-o", str(folder / "out"), "--quiet"])


def _lerobot(folder: Path) -> None:
    from tests.made_result import two_hands, write_run

    for name, frames in (("one", FRAMES), ("other", FRAMES + 1)):
        (folder / name).mkdir()
        write_run(folder / name, two_hands(models(), frames), models())
    _add_to_data_set(folder, "one")
    assert (folder / "set" / "lerobot" / "meta" / "info.json").is_file()


def _use_lerobot(folder: Path) -> None:
    _add_to_data_set(folder, "other")


def _add_to_data_set(folder: Path, run: str) -> None:
    run_command(["export", str(folder / run), "--to", "lerobot", "-o", str(folder / "set"), "--video", "none",
                 "--task", run, "--quiet"])  # fmt: skip


def _shape_from(folder: Path) -> None:
    from tests.fuzz.families import _run_folder

    _run_folder(folder)


def _use_shape_from(folder: Path) -> None:
    from types import SimpleNamespace

    from hmpfit.pipeline.size import hand_size, with_known_size
    from hmpfit.recipes import RunSettings
    from tests.made_result import two_hands

    motion = two_hands(models(), FRAMES).motion
    context = SimpleNamespace(settings=RunSettings(shape_from=str(folder)), models=models())
    motion = with_known_size(context, motion)  # type: ignore[arg-type]
    assert np.isfinite(hand_size(context, motion).relative_std)  # type: ignore[arg-type]


CLIPS: dict[str, Family] = {
    **{f"clip_{suffix}": Family(_container(suffix), _use_clip, "v.*", 1) for suffix in _CODERS},
    "photos": Family(_photos, _use_photos, "?.*", 3),
    "truth_set": Family(_truth_set, _use_truth_set, "**/*.*"),
    "run_to_learn_from": Family(_run_to_learn_from, _use_run_to_learn_from, "run/*.*"),
    "training_state": Family(_training_state, _use_training_state, "*.*"),
    "all_formats": Family(_all_formats, _use_all_formats, "result*", 1),
    "lerobot": Family(_lerobot, _use_lerobot, "set/**/*.*", 1),
    "shape_from": Family(_shape_from, _use_shape_from, "result*", 1),
}
