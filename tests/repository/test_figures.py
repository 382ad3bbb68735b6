"""Figures that `benchmarks/refresh` writes: each stands where it is said to, and the quick ones are true."""

import dataclasses
import importlib.util
import shutil
import subprocess
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
    refresh.rewrite(measurement, answer, "abc1234")
    assert (tmp_path / "page.md").read_text() == "Off by 2.4 mm\nand 1,200 of 3 frames.\n"
    assert refresh.differences(measurement, answer) == []
    after = {one.name: one for one in refresh.measurements()}
    assert after["demo"].commit == "abc1234" and after["gaps"].commit == KNOWN["gaps"].commit
    with pytest.raises(LookupError, match="0 times"):
        refresh.Figure("a", "page.md", "no such {} mm").stated((tmp_path / "page.md").read_text())


def test_the_commit_is_that_of_the_measured_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that are rewritten make the checkout dirty; what was measured was not."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    table = (ROOT / "benchmarks" / "figures.toml").read_text()
    (tmp_path / "figures.toml").write_text(table)
    (tmp_path / "page.md").write_text("Off by 1.5 mm.\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(refresh, "ROOT", tmp_path)
    monkeypatch.setattr(refresh, "TABLE", tmp_path / "figures.toml")
    figures = (refresh.Figure("mm", "page.md", "Off by {} mm"),)
    monkeypatch.setattr(
        refresh,
        "measurements",
        lambda: [dataclasses.replace(KNOWN[name], figures=figures) for name in ("gaps", "demo")],
    )
    monkeypatch.setattr(refresh.Measurement, "run", lambda self: {"mm": 2.4 if self.name == "gaps" else 2.6})
    monkeypatch.setattr(sys, "argv", ["refresh"])
    with pytest.raises(SystemExit) as ended:
        refresh.main()
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert not ended.value.code and (tmp_path / "page.md").read_text() == "Off by 2.6 mm.\n"
    assert (tmp_path / "figures.toml").read_text().count(f'commit = "{head.strip()}"') == 2
