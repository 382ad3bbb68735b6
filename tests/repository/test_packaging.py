"""Packaging: the hand-kept package list, the built forms, and the README's two commands stay true."""

import ast
import configparser
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(inline_comment_prefixes=None, interpolation=None)
    parser.read(CHECKOUT / "setup.cfg")
    return parser


def package_folders() -> set[str]:
    roots = {"hmpfit": CHECKOUT / "hmpfit", "hmpfit.priors": CHECKOUT / "priors"}
    found = set()
    for name, root in roots.items():
        for module in root.rglob("*.py"):  # follows no links, so hmpfit/priors is not visited twice
            below = module.parent.relative_to(root).parts
            if not (name == "hmpfit" and below[:1] == ("priors",)):
                found.add(".".join((name, *below)))
    return found


def test_setup_cfg_lists_every_package_and_no_other() -> None:
    listed = config()["options"]["packages"].split()
    assert listed == sorted(listed)
    assert set(listed) == package_folders()


def test_folders_of_tests_mirror_the_packages() -> None:
    others = {"dataset_fixtures", "fuzz", "plug_in", "repository", "typing"}
    rooms = {name.split(".")[1] for name in package_folders() if "." in name}
    folders = {path.name for path in (CHECKOUT / "tests").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders - others - rooms == set()
    modules = {path.stem for path in (CHECKOUT / "hmpfit").glob("*.py")}
    loose = {path.stem.removeprefix("test_") for path in (CHECKOUT / "tests").glob("test_*.py")}
    assert loose - modules == set()


def test_every_package_says_what_lives_there() -> None:
    for package in config()["options"]["packages"].split():
        folder = CHECKOUT / (package.replace("hmpfit.priors", "priors", 1).replace(".", "/"))
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), package


def test_priors_are_linked_and_imported_by_one_name_only() -> None:
    assert (CHECKOUT / "hmpfit" / "priors").is_symlink()
    assert (CHECKOUT / "hmpfit" / "priors").resolve() == CHECKOUT / "priors"
    wrong = re.compile(r"^\s*(from|import) priors\b", re.MULTILINE)
    sources = [
        *CHECKOUT.glob("*.py"),
        *(p for f in ("hmpfit", "priors", "tests") for p in (CHECKOUT / f).rglob("*.py")),
    ]
    assert not [source for source in sources if wrong.search(source.read_text())]


def test_setup_cfg_has_no_end_of_line_comments() -> None:
    lines = (CHECKOUT / "setup.cfg").read_text().splitlines()
    assert not [line for line in lines if re.search(r"\S\s+[#;]", line) and not line.startswith("#")]


def test_core_requirements_are_pinned_in_constraints() -> None:
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (CHECKOUT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    options, extras = config()["options"], config()["options.extras_require"]
    for requirement in "\n".join((options["install_requires"], *extras.values())).split("\n"):
        if name := re.match(r"[\w.-]+", requirement.strip()):
            assert re.sub(r"[-_.]+", "-", name[0]).lower() in pinned, requirement


# Not installed by any extra: `bpy` is Blender's own Python, `anny` has its own environment (constraints-build.txt),
# mmpose, mmengine and onnxruntime are named by the message that asks for them.
BROUGHT_ALONG = {"bpy", "anny", "mmpose", "mmengine", "onnxruntime"}
NAMES_OF = {
    "PIL": "pillow", "cv2": "opencv-contrib-python", "pxr": "usd-core", "rerun": "rerun-sdk", "sklearn": "scikit-learn",
    "trc": "trc-data-reader", "yaml": "pyyaml",
}  # fmt: skip


def imported_packages(source: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"hmpfit", "tests"}


def test_what_is_imported_is_declared() -> None:
    options, extras = config()["options"], config()["options.extras_require"]
    lines = "\n".join((options["install_requires"], *extras.values())).split()
    declared = {re.sub(r"[-_.]+", "-", re.split(r"[<>=]", line)[0]).lower() for line in lines}
    undeclared = {}
    for folder in ("hmpfit", "priors", "tests", "benchmarks", "examples"):
        sources = [path for path in (CHECKOUT / folder).rglob("*.py") if "plug_in" not in path.parts]
        neighbors = {path.stem for path in sources if folder in ("benchmarks", "examples")}
        for source in sources:
            for name in imported_packages(source) - neighbors - BROUGHT_ALONG:
                if re.sub(r"[-_.]+", "-", NAMES_OF.get(name, name)).lower() not in declared:
                    undeclared[name] = str(source.relative_to(CHECKOUT))
    assert not undeclared


def test_the_readme_names_its_two_commands() -> None:
    text = (CHECKOUT / "README.md").read_text()
    for name, needle in (("install-and-run", "hmpfit demo"), ("install-and-test", "pytest")):
        fence = re.search(rf"^<!-- command: {name} -->\n```\w*\n(.+?)\n```$", text, re.MULTILINE | re.DOTALL)
        assert fence and "-c constraints.txt" in fence[1] and needle in fence[1], name
    assert f"readme_command {'$'}1" in (CHECKOUT / ".ci" / "run").read_text().replace('"', "")


def test_ci_checks_only_folders_that_hold_code() -> None:
    script = (CHECKOUT / ".ci" / "run").read_text()
    commands = re.findall(r'^"\$tools/ruff" (?:check|format --check) (.+)$', script, re.MULTILINE)
    assert len(commands) == 2
    for name in " ".join(commands).split():
        path = CHECKOUT / name
        assert path.is_file() or any(path.rglob("*.py")), f"{name} is not in a fresh checkout"


def test_the_readme_shows_the_layout_that_is_there() -> None:
    text = (CHECKOUT / "README.md").read_text()
    (layout,) = re.findall(r"^## Layout\n\n```\n(.+?)```", text, re.MULTILINE | re.DOTALL)
    shown = set(re.findall(r"^  (\w+)(?:/|\.py) ", layout, re.MULTILINE))
    shown |= set(re.findall(r"^  ((?:\w+, )+\w+)", layout, re.MULTILINE)[0].split(", "))
    folders = {name.split(".")[1] for name in package_folders() if name.count(".") >= 1} - {"priors"}
    files = {path.stem for path in (CHECKOUT / "hmpfit").glob("*.py")} - {"__init__", "__main__"}
    assert shown == folders | files


@pytest.mark.slow
def test_wheel_and_sdist_hold_each_file_once(tmp_path: Path) -> None:
    source = tmp_path / "checkout"
    source.mkdir()
    for item in ("hmpfit", "priors"):
        shutil.copytree(CHECKOUT / item, source / item, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for item in ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "cli.py"):
        shutil.copy(CHECKOUT / item, source / item)
    for kind in ("wheel", "sdist"):
        build = f"import sys, setuptools.build_meta as build; build.build_{kind}(sys.argv[1])"
        subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (top,) = (name for name in names if name.endswith("top_level.txt"))
        assert opened.read(top).decode().split() == ["hmpfit"]
    assert len(names) == len(set(names))
    assert not [name for name in names if not name.startswith("hmpfit")]
    code = {
        str(p.relative_to(source)) for p in source.rglob("*.py") if p.parts[len(source.parts)] in ("hmpfit", "priors")
    }
    expected = {re.sub(r"^priors/", "hmpfit/priors/", name) for name in code if not name.startswith("hmpfit/priors/")}
    assert {name for name in names if name.endswith(".py")} == expected
    for data in ("hmpfit/recipes/default.toml", "hmpfit/hands/open_hand/", "hmpfit/priors/weights/"):
        assert [name for name in names if name.startswith(data)], data
    with tarfile.open(sdist) as opened:
        packed = [name.split("/", 1)[1] for name in opened.getnames() if "/" in name]
    assert "priors/__init__.py" in packed and not [name for name in packed if name.startswith("hmpfit/priors/")]


@pytest.mark.slow
def test_the_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    """The long description renders, and the wheel alone, from another folder, fits the demo and serves its page."""
    build = "import sys, setuptools.build_meta as build; build.build_wheel(sys.argv[1])"
    source = tmp_path / "checkout"
    shutil.copytree(CHECKOUT, source, symlinks=True, ignore=shutil.ignore_patterns(".git", "build", "docs"))
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=source, check=True, capture_output=True)
    shutil.rmtree(source)
    (wheel,) = tmp_path.glob("*.whl")
    if importlib.util.find_spec("twine"):
        checked = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", str(wheel)], capture_output=True)
        assert checked.returncode == 0, checked.stdout
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def python(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert python("-c", "import hmpfit; print(hmpfit.__file__)").startswith(str(site))
    told = json.loads(python("-m", "hmpfit", "demo", "--seconds", "1", "--json", "--quiet"))
    assert told and (elsewhere / "hmpfit_out").is_dir()
    for page in ("app/page.html", "app/app.js", "app/app.css", "viewing/report.html.j2", "viewing/patterns.svg.j2",
                 "viewing/sentence.html.j2"):  # fmt: skip
        assert (site / "hmpfit" / page).is_file()


@pytest.mark.slow
def test_the_image_is_built_where_docker_is() -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "version"], capture_output=True).returncode:
        pytest.skip("no docker daemon answers here")
    built = subprocess.run(["docker", "build", "-q", str(CHECKOUT)], capture_output=True, text=True, timeout=3600)
    assert built.returncode == 0, built.stderr
    said = subprocess.run(["docker", "run", "--rm", built.stdout.strip(), "--version"], capture_output=True, text=True)
    assert said.stdout.startswith("hmpfit ")
