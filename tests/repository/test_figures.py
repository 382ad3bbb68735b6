"""Figures that `benchmarks/refresh` writes: each stands where it is said to, and the quick ones are true."""

import dataclasses
import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "benchmarks" / "refresh.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["refresh"] = module
    spec.loader.exec_module(module)
    return module


refresh = load()
KNOWN = {one.name: one for one in refresh.measurements()}


@pytest.mark.parametrize("name", KNOWN)
def test_every_figure_stands_on_its_page_once(name: str) -> None:
    measurement = KNOWN[name]
    assert measurement.figures and measurement.date and measurement.commit
    for figure in measurement.figures:
        assert float(figure.stated((ROOT / figure.page).read_text()).replace(",", "")) > 0


@pytest.mark.parametrize("name", [name for name, one in KNOWN.items() if one.quick])
def test_quick_figures_are_what_their_command_prints(name: str) -> None:
    assert refresh.differences(KNOWN[name], KNOWN[name].run()) == []


def test_a_figure_is_rewritten_with_date_and_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks").mkdir()
    shutil.copy(ROOT / "benchmarks" / "figures.toml", tmp_path / "benchmarks")
    (tmp_path / "page.md").write_text("Off by 1.5 mm\nand 2,000 of 3 frames.\n")
    monkeypatch.setattr(refresh, "ROOT", tmp_path)
    monkeypatch.setattr(refresh, "TABLE", tmp_path / "benchmarks" / "figures.toml")
    monkeypatch.setattr(refresh, "_commit", lambda: "abc1234")
    figures = (
        refresh.Figure("a.0.mm", "page.md", "Off by {} mm and {_} of"),
        refresh.Figure("count", "page.md", "and {} of {_} frames", form=",.0f", factor=1000),
    )
    measurement = dataclasses.replace(KNOWN["demo"], figures=figures)
    answer = {"a": [{"mm": 2.449}], "count": 1.2}
    assert [(stated, measured) for _, stated, measured in refresh.differences(measurement, answer)] == [
        ("1.5", "2.4"),
        ("2,000", "1,200"),
    ]
    refresh.rewrite(measurement, answer)
    assert (tmp_path / "page.md").read_text() == "Off by 2.4 mm\nand 1,200 of 3 frames.\n"
    assert refresh.differences(measurement, answer) == []
    after = {one.name: one for one in refresh.measurements()}
    assert after["demo"].commit == "abc1234" and after["gaps"].commit == KNOWN["gaps"].commit
    with pytest.raises(LookupError, match="0 times"):
        refresh.Figure("a", "page.md", "no such {} mm").stated((tmp_path / "page.md").read_text())
