"""Global Occlusion Recovery: attention from occluded to visible features (III-B), and the variants of Table V.

The query comes from the occlusion feature, key and value from the hand feature. The printed formula of the second map
repeats the first map's letters; the sentence before it says which are meant (the papers in docs/method.md).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hmpfit.regressors.ifvonet.attention import (
    NormalizedSigmoid,
    PointMlp,
    Positions,
    by_rows,
    to_heads,
    to_map,
    to_tokens,
)
from hmpfit.regressors.ifvonet.switches import IfvonetSwitches


class RecoveryBlock(nn.Module):
    """One block. With maps from q_sig, k_sig and q_norm, k_norm (d the width of a head, BN over heads):

    sigmoid_bn:  C = sigma(q_sig k_sig^T / sqrt d) + BN(f_1x1(q_norm k_norm^T / sqrt d)), f over the heads' axis
    softmax_bn:  the same with softmax for sigma
    fit:         C = softmax(q_sig k_sig^T / sqrt d) * sigma(sum over keys of q_norm k_norm^T / sqrt d)
    transformer: C = softmax(q_sig k_sig^T / sqrt d)
    out = v + MLP(LN(C v)), for `fit` C v + MLP(LN(C v)) as in HandOccNet.
    """

    def __init__(self, switches: IfvonetSwitches) -> None:
        super().__init__()
        width, self.heads, self.side, self.kind = switches.width, switches.heads, switches.side, switches.gor
        self.positions = Positions(width, self.side)
        self.query, self.key, self.value = (nn.Conv2d(width, width, 1) for _ in range(3))
        self.mlp = PointMlp(width)
        self.scale = 1 / math.sqrt(width // self.heads)
        if self.kind != "transformer":
            self.query_norm, self.key_norm = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        if self.kind.endswith("bn"):
            self.mix, self.norm = nn.Conv2d(self.heads, self.heads, 1), nn.BatchNorm2d(self.heads)
            if not switches.literal:  # a row of N pixels begins with weights of 1 / N, not of 1
                nn.init.constant_(self.norm.weight, 1 / self.side**2)
        if self.kind == "sigmoid_bn":
            self.sigmoid = NormalizedSigmoid(self.side**2, switches.literal)

    def forward(self, asking: Tensor, hand: Tensor) -> Tensor:
        """Query features and the hand's features [B, width, side, side] -> recovered features of the same shape."""
        query_at, key_at = asking + self.positions.query, hand + self.positions.key
        q, k = to_heads(self.query(query_at), self.heads), to_heads(self.key(key_at), self.heads)
        v = to_heads(self.value(hand), self.heads)
        if self.kind == "transformer":
            gathered = F.scaled_dot_product_attention(q, k, v)
        else:
            q_norm = to_heads(self.query_norm(query_at), self.heads)
            k_norm = to_heads(self.key_norm(key_at), self.heads)
            gathered = self._gather(q, k, q_norm, k_norm, v)
        tokens = to_tokens(gathered)
        kept = tokens if self.kind == "fit" else to_tokens(v)
        return to_map(kept + self.mlp(tokens), self.side)

    def _gather(self, q: Tensor, k: Tensor, q_norm: Tensor, k_norm: Tensor, v: Tensor) -> Tensor:
        if self.kind == "fit":  # the second map is a number for each query, so softmax attention stays what it is
            share = torch.sigmoid(self.scale * (q_norm @ k_norm.sum(2)[..., None]))
            return share * F.scaled_dot_product_attention(q, k, v)

        def first(rows: Tensor) -> Tensor:
            logits = self.scale * rows @ k.transpose(-1, -2)
            return self.sigmoid(logits) if self.kind == "sigmoid_bn" else logits.softmax(-1)

        def second(rows: Tensor) -> Tensor:
            out: Tensor = self.norm(self.mix(self.scale * rows @ k_norm.transpose(-1, -2)))
            return out

        if self.training:  # batch statistics are those of the whole map
            return (first(q) + second(q_norm)) @ v
        return by_rows(lambda a, b: first(a) + second(b), v, q, q_norm)


class OcclusionRecovery(nn.Module):
    """Blocks one after the other; each takes its queries from the one before, the first from the occlusion feature."""

    def __init__(self, switches: IfvonetSwitches) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(RecoveryBlock(switches) for _ in range(switches.gor_blocks))

    def forward(self, occlusion: Tensor, hand: Tensor) -> Tensor:
        """F_o and F_h [B, width, side, side] -> F_GOR."""
        x = occlusion
        for block in self.blocks:
            x = block(x, hand)
        return x
