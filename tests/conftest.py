"""Shared fixtures: where the real inputs lie."""

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def inputs() -> Path:
    """Return the folder of real clips and recordings; skip where it is absent."""
    folder = Path(os.environ.get("HMPFIT_TEST_INPUTS") or CHECKOUT.parent / "shared" / "inputs")
    if not folder.is_dir():
        pytest.skip(f"real inputs are not here ({folder}); set HMPFIT_TEST_INPUTS to the folder that holds clips/")
    return folder
