"""`hmpfit synthesize`: clips whose truth is known, for measuring and for training."""

import json
from pathlib import Path
from typing import Any

import click

from hmpfit import __version__
from hmpfit.command_line.progress import TerminalProgress
from hmpfit.command_line.shared_options import json_option
from hmpfit.errors import InputError
from hmpfit.strict_json import to_json


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A folder per clip.")
@click.option("--motion", default="generated", show_default=True, metavar="generated|PATH", help="Or recordings.")
@click.option("--count", type=click.IntRange(min=1), default=4, show_default=True, help="Number of clips.")
@click.option("--frames", type=click.IntRange(min=2), default=128, show_default=True, help="Of each, 30 a second.")
@click.option("--occlusion", type=click.Choice(["none", "object", "heavy"]), default="none", show_default=True)
@click.option("--hands", type=click.Choice(["right", "left", "both"]), default="right", show_default=True)
@click.option(
    "--contact", type=click.Choice(["none", "mixed", "interacting", "crossing", "clasping", "touching_fingertips"]),
    default="none", show_default=True, help="How both hands meet; they touch and never overlap.",
)  # fmt: skip
@click.option(
    "--camera", "camera_path", type=click.Choice(["static", "handheld", "orbit", "walk", "pan"]), default=None,
    help="A textured room with depth, and how the camera moves in it; without it a still camera and a flat backdrop.",
)  # fmt: skip
@click.option("--size", default="640x480", show_default=True, metavar="WxH", help="Of the pictures, in pixels.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the first clip.")
@click.option("--overwrite", is_flag=True, help="Make clips anew that other settings made.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress; errors only.")
def synthesize(
    out: Path, motion: str, count: int, frames: int, occlusion: str, hands: str, contact: str,
    camera_path: str | None, size: str, seed: int, overwrite: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Render clips of one or two hands with known truth: clip.mp4 and truth.npz in one folder each.

    Skin, lamp, background, camera, blur, noise and compression are drawn from the seed. With --contact both hands act
    on each other, cross, clasp or touch with their fingertips ("mixed": any of these). PATH is a recording of joint
    positions (Leap or plain npz), or a folder of them; the hands take turns through it. With --camera truth.npz says
    where the camera and the hands are in the world. Clips that are there already are left alone.
    """
    from hmpfit.hands.model_files import load_hand_models
    from hmpfit.run_folder import RunFolder
    from hmpfit.synthesis.clips import make_clip
    from hmpfit.synthesis.occluders import occluders
    from hmpfit.synthesis.scenes import FPS, Recordings, sample_scene

    width, height = _size(size)
    models = load_hand_models("open")
    recordings = None if motion == "generated" else Recordings.read(Path(motion), models)
    made = []
    with TerminalProgress(quiet) as progress:
        advance = progress.phase("rendering clips", count * frames)
        for number in range(seed, seed + count):
            source = Path(motion).stem if recordings is not None else "generated" if contact == "none" else contact
            source = source if camera_path is None else f"{source}_{camera_path}"
            folder = out / f"{source}_{occlusion}_{hands}_{number:04d}"
            identity = {
                "seed": number, "motion": motion, "frames": frames, "occlusion": occlusion, "hands": hands,
                "size": [width, height], "version": __version__, "hand": models.right.fingerprint,
            }  # fmt: skip
            if contact != "none":
                identity["contact"] = contact
            if camera_path is not None:
                identity["camera"] = camera_path
            made.append(folder)
            run_folder = RunFolder(folder, identity, overwrite, summary="clip.json")
            if run_folder.finished() is not None:
                advance(frames)
                run_folder.release()
                continue
            scene = sample_scene(models, number, frames, hands, width, height, recordings, contact, camera_path)
            others = occluders(occlusion, scene.joints, FPS, scene.generator)
            with run_folder.publish() as scratch:
                make_clip(
                    scratch, scene.motion, models, scene.camera, number, FPS, scene.look, others,
                    on_frame=lambda done, total: advance(1), place=scene.place,
                )  # fmt: skip
                (scratch / "clip.json").write_text(json.dumps(identity))
            run_folder.release()
    if as_json:
        click.echo(to_json({"clips": [str(folder) for folder in made]}))
    elif not quiet:
        click.echo(f"{len(made)} clips in {out}; score runs of them with hmpfit eval --dataset synthetic:{out}")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    values: list[Any] = [int(side) if side.isdecimal() else 0 for side in (width, height)]
    if min(values) < 64 or any(side % 2 for side in values):
        raise InputError(f"--size {text} is not two even numbers of at least 64, such as 640x480.")
    return values[0], values[1]
