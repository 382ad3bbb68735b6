"""Statistics of a session: rate, share of frames kept and lag, in one line or as numbers."""

import numpy as np

from hmpfit.live.records import LiveCounts


def lag_percentile(counts: LiveCounts, percent: float, last: int | None = None) -> float:
    """Return a percentile of the lags in seconds, of the `last` ones where given; NaN where none is known."""
    lags = counts.lags_s[-last:] if last else counts.lags_s
    return float(np.percentile(lags, percent)) if lags else float("nan")


def spoken(counts: LiveCounts, rate: float, hands: int, last: int = 300) -> str:
    """Describe the last frames in words."""
    if not counts.lags_s:
        return f"{rate:.1f} frames/s, {counts.kept:.0%} kept"
    found = {0: "no hand", 1: "1 hand"}.get(hands, f"{hands} hands")
    lag, late = lag_percentile(counts, 50, last), lag_percentile(counts, 95, last)
    return f"{rate:.1f} frames/s, {counts.kept:.0%} kept, lag {lag:.2f} s (95 %: {late:.2f}), {found}"
