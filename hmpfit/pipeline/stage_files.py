"""Stage files of a run: each step's output with the fingerprint of all that decides it; the one cache mechanism."""

from collections.abc import Callable
from functools import partial
from typing import Any

import hmpfit
from hmpfit.fingerprints import fingerprint
from hmpfit.results.record_files import load_record, save_record
from hmpfit.run_folder import RunFolder

StoreStage = Callable[[str, type[Any], tuple[Any, ...], Callable[[], Any]], Any]


def stage_store(folder: RunFolder) -> StoreStage:
    """Return the function that steps keep their outputs with.

    It is called with a stage's name, the record's type, everything that decides the record, and the function that makes
    it; it returns the stored record where nothing has changed.
    """

    def stage(name: str, kind: type[Any], depends_on: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
        key = fingerprint(name, hmpfit.__version__, *depends_on)
        return folder.stage(name, key, compute, save_record, partial(load_record, kind=kind))

    return stage
