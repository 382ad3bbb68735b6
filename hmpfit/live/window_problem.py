"""The fit's problem on a window: with the motion prior's latents for the present, with free poses for what leaves it.

The terms, weights and kernels are those of the recipe's last stage. Terms between two hands are left out: they need
meshes, for which there is no time.
"""

import copy
from dataclasses import replace

import numpy as np
import torch

from hmpfit.fitting.batching.gather import ClipToFit, gather_hands
from hmpfit.fitting.pose_field import PoseField
from hmpfit.fitting.problem import Problem, WeightedTerm, read_terms
from hmpfit.fitting.terms.prior import PriorOptions
from hmpfit.fitting.windows import lay_windows, resample_poses
from hmpfit.hands.kinematics import Kinematics
from hmpfit.interfaces.prior import MotionPriorLike
from hmpfit.interfaces.term import Evidence, Motion
from hmpfit.keypoints.occlusion import weigh_covered
from hmpfit.live.hands_in_window import HandsInWindow
from hmpfit.live.marginal import EVIDENCE
from hmpfit.recipes.schema import Recipe, Stage

FREE = ("global_orient", "transl", "betas", "hand_pose")
FREE_LATENT = ("global_orient", "transl", "betas", "latent")
_LEFT_OUT = ("penetration", "overlap")  # of two hands, and of two windows of the prior
_NOT_OF_THE_PAST = ("pose_to_initial", "orient_to_initial", "transl_to_initial")


class WindowProblem:
    """States the problem of a window; `prior` None frees the poses themselves."""

    def __init__(self, recipe: Recipe, prior: MotionPriorLike | None) -> None:
        stage = recipe.stages[-1]
        options = stage.options.get("prior", PriorOptions())
        assert isinstance(options, PriorOptions)
        self._observed_std = options.observed_std
        self._priors: tuple[MotionPriorLike, MotionPriorLike] | None = None
        if prior is not None:
            prior = prior.truncated(options.latent_dim or 0)
            self._priors = _in_dtype(prior, torch.float64), _in_dtype(prior, torch.float32)
        instead = stage.without_prior
        free = replace(
            stage, weights={**stage.weights, **instead.weights}, kernels={**stage.kernels, **instead.kernels}
        )
        self._with_poses = _terms(free, FREE, _LEFT_OUT)
        self._with_latents = _terms(stage, FREE_LATENT, _LEFT_OUT)
        self._of_the_past = _terms(free, FREE, _LEFT_OUT + _NOT_OF_THE_PAST)
        self._keypoints = recipe.keypoints

    @property
    def window_s(self) -> float:
        """The longest that a window may be, seconds."""
        return float("inf") if self._priors is None else (self._priors[0].window_frames - 1) / self._priors[0].fps

    def evidence(self, hands: HandsInWindow) -> Evidence:
        """Return what the window compares its hands with."""
        assert hands.guess is not None
        tracks = hands.tracks()
        if self._keypoints.weigh_covered:
            tracks = weigh_covered(tracks, self._keypoints.covered)
        guess = replace(hands.as_hands(hands.guess, 0, len(hands.frames)), betas=np.zeros((len(hands.ids), 10)))
        found = gather_hands(ClipToFit(guess, tracks, hands.camera, hands.models), torch.float64, "cpu")[0]
        weights = torch.tensor(hands.weights, dtype=torch.float64)
        shares = {name: getattr(found, name) for name in EVIDENCE}
        return replace(found, **{name: v * weights.reshape(-1, *[1] * (v.ndim - 2)) for name, v in shares.items()})

    def present(self, hands: HandsInWindow, evidence: Evidence) -> tuple[Problem, Motion]:
        """Return the problem of the window and the motion that its solution starts from."""
        state = hands.state
        assert state is not None
        kinematics = _kinematics(hands)
        if self._priors is None:
            return Problem(kinematics, evidence, self._with_poses, FREE, low_dtype=torch.float32), state
        high, low = self._priors
        layout = lay_windows(evidence.times_s, high.window_frames / high.fps, 0.0)
        fields = [
            PoseField.build(one, layout, evidence.times_s, dtype)
            for one, dtype in ((high, torch.float64), (low, torch.float32))
        ]
        grid = evidence.times_s[0] + torch.arange(high.window_frames, dtype=torch.float64) / high.fps
        known = evidence.initial_confidence > 0
        guessed = resample_poses(evidence.initial_hand_R, known, evidence.times_s, grid)
        mean, log_var = high.encode(*guessed, self._observed_std)
        evidence = replace(evidence, latent_mean=mean[:, None], latent_std=(0.5 * log_var).exp()[:, None])
        problem = Problem(
            kinematics, evidence, self._with_latents, FREE_LATENT, fields[0],
            low_dtype=torch.float32, low_field=fields[1],
        )  # fmt: skip
        return problem, self.start(problem, state)

    def start(self, problem: Problem, motion: Motion) -> Motion:
        """Return a motion of the window as a solver takes it: with the latents that explain its poses best."""
        if self._priors is None:
            return motion
        high, times_s = self._priors[0], problem.evidence.times_s
        grid = times_s[0] + torch.arange(high.window_frames, dtype=torch.float64) / high.fps
        always = torch.ones(motion.transl.shape[:2], dtype=torch.bool)
        latent = high.start(*resample_poses(motion.hand_R, always, times_s, grid), self._observed_std)
        return problem.motion(replace(motion, latent=latent[:, None]))

    def past(self, hands: HandsInWindow, evidence: Evidence) -> Problem:
        """Return the problem of the frames that leave the window, in their poses."""
        return Problem(_kinematics(hands), evidence, self._of_the_past, FREE)


def _terms(stage: Stage, free: tuple[str, ...], without: tuple[str, ...]) -> tuple[WeightedTerm, ...]:
    weights = {name: weight for name, weight in stage.weights.items() if name not in without}
    return read_terms(replace(stage, weights=weights), free)


def _kinematics(hands: HandsInWindow) -> Kinematics:
    if hands.models.right is hands.models.left or len(set(hands.sides)) == 1:
        return Kinematics.of(hands.models.side(hands.sides[0]))
    return Kinematics.stack([Kinematics.of(hands.models.side(side)) for side in hands.sides])


def _in_dtype(prior: MotionPriorLike, dtype: torch.dtype) -> MotionPriorLike:
    return copy.deepcopy(prior).to("cpu", dtype) if isinstance(prior, torch.nn.Module) else prior
