"""The quick part of the fuzz harness: the corpus of minimal cases, and some hundred damaged files."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.every import FAMILIES
from tests.fuzz.harness import APART, BAD, Child, draw_cases, run_cases

CORPUS = Path(__file__).parent / "corpus"
QUICK = ("hand_pickle", "joblib", "torch_legacy", "torch_zip", "keypoints_json", "keypoints_npz", "intrinsics_json",
         "intrinsics_npz", "recipe", "run_folder", "report", "recording", "shards", "synthetic")  # fmt: skip


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """One process for all cases of this module."""
    child = Child(tmp_path_factory.mktemp("fuzz"))
    yield child
    child.close()


def test_the_corpus_stays_harmless(child: Child) -> None:
    files = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
    assert files
    for file in files:
        verdict = child.run({"family": file.parent.name, "corpus": str(file)})
        assert verdict["outcome"] in ("ok", "refused"), (file, verdict)


@settings(max_examples=250, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(family=st.sampled_from(QUICK), seed=st.integers(0, 1 << 40))
def test_damaged_files_are_refused_or_read(child: Child, family: str, seed: int) -> None:
    verdict = child.run({"family": family, "seed": seed})
    assert verdict["outcome"] not in BAD, verdict
    assert verdict["peak_kib"] < 4 << 20


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_valid_input_of_every_family_is_accepted(child: Child, family: str) -> None:
    """Without this a family could refuse everything for a reason of its own, and show nothing."""
    verdict = child.run({"family": family, "seed": 0, "undamaged": True})
    assert verdict["outcome"] == "ok", verdict


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    "family", ("interhand", "ho3d", "hundred_doh", "boxes_yolo", "training_state", "lerobot", "video", "truth_set")
)
def test_a_pipe_in_place_of_a_file_is_not_waited_for(child: Child, family: str, number: int) -> None:
    verdict = child.run({"family": family, "pipe": number})
    assert verdict["outcome"] in ("ok", "refused"), verdict


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - set(APART)))
def test_no_family_waits_for_a_pipe(child: Child, family: str) -> None:
    for number in range(4):
        verdict = child.run({"family": family, "pipe": number})
        assert verdict["outcome"] in ("ok", "refused"), (number, verdict)


@pytest.mark.slow
def test_every_family_survives_some_cases(tmp_path: Path) -> None:
    weights = {name: family.weight for name, family in FAMILIES.items()}
    tally = run_cases(draw_cases(weights, 600, 20261129), tmp_path)
    assert not tally.bad


def test_a_case_is_repeated_by_its_number() -> None:
    weights = {"a": 1, "b": 3}
    assert list(draw_cases(weights, 5, 1)) == list(draw_cases(weights, 5, 1)) != list(draw_cases(weights, 5, 2))
    from tests.fuzz.mutations import raw

    assert raw(b"abc" * 100, Random(4)) == raw(b"abc" * 100, Random(4))
