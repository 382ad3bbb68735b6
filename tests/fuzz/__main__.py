"""The long run: `python -m tests.fuzz --cases 5000 --seed 1`; exits with 1 when any case was bad."""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.every import FAMILIES
from tests.fuzz.harness import BAD, draw_cases, run_cases


def main() -> int:
    """Run and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", help="only these, such as hand_pickle,recipe")
    parser.add_argument("--keep", type=Path, help="copy the inputs of bad cases here")
    chosen = parser.parse_args()
    names = chosen.families.split(",") if chosen.families else list(FAMILIES)
    weights = {name: FAMILIES[name].weight for name in names}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="hmpfit-fuzz-") as work:
        tally = run_cases(draw_cases(weights, chosen.cases, chosen.seed), Path(work), chosen.keep)
    kinds = ("ok", "refused", *BAD)
    print(f"{'family':24}" + "".join(f"{kind:>11}" for kind in kinds))
    for name in sorted(names):
        print(f"{name:24}" + "".join(f"{tally.outcomes[name, kind]:11}" for kind in kinds))
    print(f"{'all':24}" + "".join(f"{sum(tally.outcomes[name, kind] for name in names):11}" for kind in kinds))
    print(f"peak memory {tally.peak_kib / 1024:.0f} MiB; slowest case {tally.slowest[0]:.1f} s ({tally.slowest[1]}); "
          f"{time.perf_counter() - began:.0f} s in all")  # fmt: skip
    for place, count in Counter(
        (case["family"], verdict["outcome"], verdict["where"]) for case, verdict in tally.bad
    ).most_common():
        print(f"{count:5} {' | '.join(place)}")
    for case, verdict in tally.bad[:40]:
        print(f"   {case} {verdict['where'][:100]}")
    return 1 if tally.bad else 0


if __name__ == "__main__":
    sys.exit(main())
