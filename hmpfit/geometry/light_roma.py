"""`roma`, imported without torch's compiler.

Roma imports `torch._dynamo`, only to keep two of its functions out of compiled graphs. Nothing
here compiles, and that import costs every command and every worker a second and a hundred megabytes.
"""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import torch


def _import_roma() -> ModuleType:
    known = {"roma", "torch._dynamo"} & sys.modules.keys()
    if not known:
        torch._dynamo = cast(Any, SimpleNamespace(disable=lambda function: function))
    try:
        import roma
    finally:
        if not known:
            del torch._dynamo  # the real one is imported on first use
    return cast(ModuleType, roma)


roma: Any = _import_roma()
