"""Shared fixtures: where the real inputs lie, a cache that no other test has filled, and a browser."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def inputs() -> Path:
    """Return the folder of real clips and recordings; skip where it is absent."""
    folder = Path(os.environ.get("HMPFIT_TEST_INPUTS") or CHECKOUT.parent / "shared" / "inputs")
    if not folder.is_dir():
        pytest.skip(f"real inputs are not here ({folder}); set HMPFIT_TEST_INPUTS to the folder that holds clips/")
    return folder


@pytest.fixture(scope="session")
def models() -> HandModels:
    """Return the open hand, both sides."""
    return load_hand_models("open")


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Point the user's cache at an empty folder while a module's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Return a headless Chromium, driven by playwright; skip where one of the two is absent."""
    driver = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--use-gl=swiftshader", "--ignore-gpu-blocklist"]
        )
        yield browser
        browser.close()
