"""The smoother in a copy of the process: the same answers, and failures that are told."""

from collections.abc import Sequence

import pytest

from hmpfit.errors import HmpfitError
from hmpfit.live import smoother_copy
from hmpfit.live.records import SeenFrame
from hmpfit.live.smoother import FixedLagSmoother, Told
from hmpfit.live.smoother_copy import SmootherCopy, smoother_beside
from hmpfit.pipeline.devices import one_thread
from hmpfit.recipes import load_recipe
from tests.live.made_stream import CAMERA, MODELS, made_motion, seen_frames


def made() -> FixedLagSmoother:
    return FixedLagSmoother(MODELS, CAMERA, load_recipe("default"), None)


def test_a_copy_gives_the_same_answers() -> None:
    frames, beside = seen_frames(made_motion(20)), SmootherCopy(made())
    here = made()
    try:
        for first in (0, 10):
            some, last = frames[first : first + 10], first == 10
            with one_thread():
                expected = here.update(some, last)
            found = beside.update(some, last)
            assert [seen.number for seen, _ in found] == [seen.number for seen, _ in expected]
            for (_, a), (_, b) in zip(found, expected, strict=True):
                assert all((x.joints == y.joints).all() for x, y in zip(a, b, strict=True))
    finally:
        beside.close()


def test_what_fails_in_the_copy_is_raised() -> None:
    class Failing(FixedLagSmoother):
        def update(self, new: Sequence[SeenFrame], last: bool = False) -> list[Told]:
            raise HmpfitError("The smoother failed.")

    beside = SmootherCopy(Failing(MODELS, CAMERA, load_recipe("default"), None))
    with pytest.raises(HmpfitError, match=r"The smoother failed\."):
        beside.update([])
    beside.close()


def test_without_a_second_core_it_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoother_copy, "can_copy", lambda: False)
    smoother = made()
    assert smoother_beside(smoother) is smoother
    smoother.close()
