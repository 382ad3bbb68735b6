"""The term between the two hands of a clip: out of each other (STC's L_inter).

It reads what `two_hands.HandPairs` says of the other hand; without another hand it is 0.
"""

from torch import Tensor

from hmpfit.fitting.two_hands.contact_points import contact_points
from hmpfit.interfaces.term import Evidence, Motion, NoOptions, Residual, Term


def penetration_residuals(motion: Motion, points: Tensor, evidence: Evidence, options: NoOptions) -> Residual:
    """Return how deep vertices are in the other hand, [B, T, K, 1] meters, 0 outside.

    Depth along the normal of the other's surface: twice what is missing to the plane half way, which the other hand has
    to reach from its side; each hand bears half the cost. Planes keep their distance to the wrist: a hand gets
    behind them by turning and bending (moving it is left to `resolve_penetration`). Kernel `tanh` with scale 0.02
    makes it the paper's alpha tanh(x / alpha), alpha = 2 cm; confidence makes the query vertices stand for MANO's 778.
    """
    if evidence.contact_joint is None:
        return Residual(points[..., :1, :1] * 0.0, points.new_zeros(*points.shape[:2], 1))
    assert evidence.contact_plane is not None and evidence.contact_normal is not None
    assert evidence.contact_weight is not None
    missing = evidence.contact_plane - contact_points(motion, points, evidence)
    depth = 2 * (evidence.contact_normal * missing).sum(-1, keepdim=True)
    return Residual(depth.clamp_min(0), 0.5 * evidence.contact_weight)


PENETRATION = Term("penetration", "contact", penetration_residuals)
