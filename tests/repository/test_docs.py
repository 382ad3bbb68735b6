"""The README is short and leads somewhere, its five minutes run, and every key of a result is documented."""

import re
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from hmpfit.command_line import main
from hmpfit.hands.model_files import load_hand_models
from hmpfit.records import CameraMotion
from tests.made_result import camera_path, two_hands, write_run
from tests.results.test_result_files import HAND_KEYS, RESULT_KEYS, SUMMARY_KEYS

CHECKOUT = Path(__file__).resolve().parents[2]
README = CHECKOUT / "README.md"
RESULTS = CHECKOUT / "docs" / "results.md"
MOST_WORDS = 1000


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= MOST_WORDS


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", README.read_text())
    assert len(links) > 10
    assert not [link for link in links if not link.startswith("http") and not (CHECKOUT / link).exists()]


def test_five_minutes_begin_with_what_the_demo_leaves() -> None:
    from hmpfit.command_line.demo import DEFAULT_OUT
    from hmpfit.synthesis.clips import CLIP_NAME

    (commands,) = re.findall(r"^## Five minutes\n.*?^```bash\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    assert f"hmpfit run {DEFAULT_OUT / 'demo' / 'clip' / CLIP_NAME} " in commands
    assert "## Five minutes" in (CHECKOUT / ".ci" / "run").read_text()


def test_the_commands_on_the_pages_exist_with_their_options() -> None:
    group, checked = main.commands, 0
    context = click.Context(group)
    for page in (README, *sorted((CHECKOUT / "docs").glob("*.md"))):
        for line in re.findall(r"^hmpfit ([a-z-]+ .*)$", page.read_text(), re.MULTILINE):
            name, _, rest = line.partition(" #")[0].partition(" ")
            command = group.get_command(context, name)
            assert command is not None, f"{page.name}: hmpfit {line}"
            offered = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
            if isinstance(command, click.Group):
                offered |= {option for sub in command.commands.values() for p in sub.params for option in p.opts}
            used = set(re.findall(r"(?<=\s)--?[a-z][a-z0-9-]*", f" {rest}")) - {"-h", "--help"}
            assert used <= offered, f"{page.name}: hmpfit {line}"
            checked += 1
    assert checked > 30


def test_every_key_of_a_result_is_documented(tmp_path: Path) -> None:
    models = load_hand_models("open")
    stored = two_hands(models, 5)
    moving = CameraMotion(camera_path(5), "moving", 0.1, "", camera_path(5))
    full = replace(stored, camera_motion=moving, joint_std_wrist_mm=stored.joint_std_mm)
    write_run(tmp_path, full, models)
    with np.load(tmp_path / "result.npz") as result:
        keys = {*RESULT_KEYS, *SUMMARY_KEYS, *HAND_KEYS, *result.files}
    assert {"joints_world", "map_from_camera", "joint_std_wrist_mm", "hand_id"} <= keys
    text = RESULTS.read_text()
    assert not [key for key in sorted(keys) if f"`{key}`" not in text]
