"""Both hands of a two-hand network in training: the left one has the left model where there is one."""

from dataclasses import replace

import pytest
import torch

from hmpfit.hands.mano import ManoHand
from hmpfit.hands.model import HandModels
from hmpfit.regressors.two_hands import hand_pair
from tests.model_fixtures import invented_model


def test_the_left_hand_is_learned_on_the_left_model(monkeypatch: pytest.MonkeyPatch) -> None:
    right, left, stranger = (replace(invented_model(seed), fingerprint=str(seed)) for seed in (1, 2, 3))
    models = HandModels(right=right, left=left)
    monkeypatch.setattr(hand_pair, "load_hand_models", lambda _: models)
    monkeypatch.setattr(hand_pair, "_training_pairs", {})
    hand = ManoHand(models.right, torch.float32)
    pair = hand_pair.training_pair("two files", hand)
    assert pair.right.model is models.right and pair.left.model is models.left
    other = ManoHand(stranger, torch.float32)  # a hand that the network does not name serves both sides
    assert hand_pair.training_pair("two files", other).left is other


def test_pairs_of_two_precisions_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    models = HandModels(*[invented_model()] * 2)
    monkeypatch.setattr(hand_pair, "load_hand_models", lambda _: models)
    for dtype in (torch.float32, torch.float64):
        pair = hand_pair.training_pair("one file", ManoHand(models.right, dtype))
        assert pair.left.v_template.dtype == pair.right.v_template.dtype == dtype
