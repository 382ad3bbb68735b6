"""docs/papers.md says what the code does: files and tests exist, and every setting it states is the code's own."""

import re
from pathlib import Path
from typing import Any

import pytest

from hmpfit.priors.motion_field.sizes import PAPER as FIELD
from hmpfit.recipes import load_recipe
from hmpfit.regressors.checkpoints import load_plan
from hmpfit.regressors.ifvonet.losses import IfvonetLossWeights
from hmpfit.training.priors import objective, schedules

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "papers.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+).*?\n(.*?)(?=^## |\Z)", DOCUMENT, re.M | re.S))
STATED = re.compile(r"`([\w.]+) = ([^`]+)`")


def records(section: str) -> list[Any]:
    if section == "HMP":
        return [FIELD, objective.PAPER, schedules.PAPER, load_recipe("paper")]
    plan = load_plan(section.lower())
    return [plan.sizes["paper"], plan.recipes["paper"], *([IfvonetLossWeights()] if section == "IFVONet" else [])]


def value_of(section: str, key: str) -> Any:
    for record in records(section):
        found: Any = record
        for part in key.split("."):
            if isinstance(found, list):
                found = found[int(part)]
            elif isinstance(found, dict):
                found = found.get(part)
            else:
                found = getattr(found, part, None)
            if found is None:
                break
        if found is not None:
            return found
    raise AssertionError(f"{section} has no setting {key}")


def same(text: str, value: Any) -> bool:
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, tuple):
        return [float(part) for part in text.split(",")] == list(value)
    return text == value if isinstance(value, str) else float(text) == pytest.approx(value)


@pytest.mark.parametrize("section", ["HMP", "IFVONet", "STC", "HandDGCL"])
def test_stated_settings_are_the_code_s(section: str) -> None:
    stated = STATED.findall(SECTIONS[section])
    assert len(stated) > 10
    wrong = {key: (text, value_of(section, key)) for key, text in stated if not same(text, value_of(section, key))}
    assert not wrong


@pytest.mark.parametrize("section", ["HMP", "IFVONet", "STC", "HandDGCL"])
def test_named_files_exist(section: str) -> None:
    files = set(re.findall(r"`([\w./]+\.(?:py|toml))`", SECTIONS[section]))
    inside = ROOT / "hmpfit" / "regressors" / section.lower()
    assert len(files) > 5
    assert not [name for name in files if not ((ROOT / name).is_file() or (inside / name).is_file())]


def test_named_tests_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", SECTIONS["Tests"])
    assert len(named) > 25
    assert not [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text()]
