"""Generated hand motion of many kinds: what the shipped prior trains on and synthetic clips move with. numpy only.

A kind is a function of a `Scene` that returns the 21 angles over time; what people share (ranges, coupling, tremor)
is applied to all of them at the end.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hmpfit.errors import UnknownNameError
from hmpfit.synthesis.hand_degrees_of_freedom import (
    DIP,
    DOFS,
    HIGH,
    INDEX,
    LOW,
    MCP,
    PIP,
    SPREAD,
    Subject,
    angles_to_hand_pose,
)
from hmpfit.synthesis.handshapes import GESTURES, GRASPS, LETTERS, NUMBERS, WORDS, Handshape
from hmpfit.synthesis.scene import Scene, Vocabulary
from hmpfit.synthesis.timing import minimum_jerk, through, tremor

Floats = NDArray[np.float64]

POWER = ("cylinder", "rod", "sphere", "hook", "bottle", "trigger")
PRECISION = ("pinch", "tripod", "quadpod", "five_tips", "disk", "lid", "writing")
BETWEEN = ("lateral", "key_turn", "scissors", "platform", "parallel")
# Never generated for training the shipped prior; its card's figures for unseen generated motion are made of these.
HELD_OUT_GRASPS = ("bottle", "quadpod", "key_turn", "lid")
HELD_OUT_WORDS = ("jazz", "kayak", "planet", "winter", "oxygen", "friend", "hello", "vexed")


EVERYTHING = Vocabulary(WORDS, tuple(GRASPS))
TRAINING = Vocabulary(
    tuple(word for word in WORDS if word not in HELD_OUT_WORDS), tuple(g for g in GRASPS if g not in HELD_OUT_GRASPS)
)
HELD_OUT = Vocabulary(HELD_OUT_WORDS, HELD_OUT_GRASPS)


def _rest(scene: Scene) -> Floats:
    shape = scene.choose((GESTURES["relaxed"], GESTURES["soft"], GESTURES["cup"], *scene.shapes.values()), 1)[0]
    base = scene.posture(shape, looseness=6)
    return base + scene.noise(scene.uniform(0.1, 0.5)) * scene.uniform(0.3, 5)


def _spelling(scene: Scene) -> Floats:
    words = scene.generator.choice(np.array(scene.vocabulary.words), 3)
    letters = [LETTERS[letter] for word in words for letter in word]
    fast = scene.uniform(0.10, 0.28)
    return scene.sequence(letters, (fast, 1.4 * fast), (0.3 * fast, scene.uniform(0.5, 1.8) * fast))


def _counting(scene: Scene) -> Floats:
    numbers = list(NUMBERS.values())
    if scene.generator.random() < 0.5:
        numbers = numbers[::-1]
    first = int(scene.generator.integers(len(numbers)))
    fast = scene.uniform(0.15, 0.45)
    return scene.sequence(numbers[first:] + numbers[:first], (fast, 1.3 * fast), (0.1, scene.uniform(0.2, 1.0)))


def _gestures(scene: Scene) -> Floats:
    fast = scene.uniform(0.15, 0.6)
    return scene.sequence(scene.choose(GESTURES, 6), (fast, 1.6 * fast), (0.05, scene.uniform(0.1, 1.5)))


def _pinches(scene: Scene) -> Floats:
    """Thumb to one finger after another, or again and again to one."""
    from_finger = int(scene.generator.integers(4))
    order = ("index", "middle", "ring", "pinky")
    if scene.generator.random() < 0.4:
        order = (order[from_finger],) * 4
    codes = ("RSSS", "RRSS", "SRRS", "SSRR")
    shapes = []
    opened = scene.choose((GESTURES["soft"], GESTURES["relaxed"], GESTURES["open"], GESTURES["cup"]), 1)[0]
    closed_fist = scene.generator.random() < 0.2
    for finger in order:
        code = "CCCC" if closed_fist else codes[("index", "middle", "ring", "pinky").index(finger)]
        at = ("index", "middle", "ring", "pinky").index(finger)
        code = code[:at] + "Q" + code[at + 1 :]
        shapes += [Handshape(code, "oppose", opened.spread, (finger,)), opened]
    fast = scene.uniform(0.12, 0.6)
    return scene.sequence(shapes, (fast, 1.4 * fast), (0.02, scene.uniform(0.05, 0.7)))


def _pointing(scene: Scene) -> Floats:
    shapes = (GESTURES["point"], GESTURES["point_loose"], GESTURES["gun"], GESTURES["gun_two"])
    angles = scene.sequence([scene.choose(shapes, 1)[0], GESTURES["relaxed"]], (0.2, 0.6), (0.5, 2.5))
    taps = np.maximum(scene.noise(scene.uniform(0.5, 2.0), 1)[:, 0], 0)
    angles[:, INDEX["index_mcp"]] += scene.uniform(0, 25) * taps
    return angles


def _typing(scene: Scene) -> Floats:
    base = scene.posture(GESTURES[str(scene.generator.choice(np.array(["soft", "relaxed", "half", "mouse"])))])
    angles = np.repeat(base[None], len(scene.times_s), axis=0) + scene.noise(0.4) * 3
    time, rate = 0.0, scene.uniform(1.5, 6.0)
    while time < scene.seconds:
        time += float(scene.generator.exponential(1 / rate)) + 0.06
        length, finger = scene.uniform(0.12, 0.35), int(scene.generator.integers(5))
        phase = (scene.times_s - time) / length
        stroke = minimum_jerk(phase * 2) - minimum_jerk(phase * 2 - 1)
        lift = minimum_jerk(phase * 2 + 1) - minimum_jerk(phase * 2)
        depth, raised = scene.uniform(8, 28), scene.uniform(2, 14)
        if finger == 4:
            angles[:, INDEX["thumb_bend"]] += 0.7 * depth * stroke - raised * lift
        else:
            angles[:, MCP[finger]] += depth * stroke - raised * lift
            angles[:, PIP[finger]] += scene.uniform(-0.3, 0.6) * depth * stroke
    return angles


def _waving(scene: Scene) -> Floats:
    """All fingers together: flapping, beckoning, squeezing."""
    low, high = (scene.posture(shape) for shape in scene.choose(GESTURES, 2))
    wave = _cycle(scene, scene.uniform(0.5, 3.2), scene.generator.normal(0, 0.04, len(DOFS)))
    depth = scene.uniform(0.25, 1.0) * np.clip(1 + 0.3 * scene.noise(0.3, 1), 0, 1.3)
    return low + (high - low) * depth * wave


def _finger_waves(scene: Scene) -> Floats:
    """Fingers one after the other: drumming, rippling, rubbing."""
    shapes = (GESTURES["open"], GESTURES["soft"], GESTURES["relaxed"], GESTURES["flat"], GESTURES["claw"])
    low, high = (scene.posture(shape) for shape in (*scene.choose(shapes, 1), *scene.choose(GESTURES, 1)))
    lag = scene.uniform(-0.22, 0.22)
    lags = np.zeros(len(DOFS))
    for f in range(4):
        lags[[MCP[f], PIP[f], DIP[f], SPREAD[f]]] = lag * f
    lags[INDEX["thumb_bend"] :] = -lag
    lags[PIP] += scene.uniform(-0.1, 0.1)
    return low + (high - low) * scene.uniform(0.3, 0.9) * _cycle(scene, scene.uniform(0.4, 2.5), lags)


def _grasps(names: tuple[str, ...]) -> Callable[[Scene], Floats]:
    def reach_and_hold(scene: Scene) -> Floats:
        name = str(scene.generator.choice(np.array([n for n in names if n in scene.vocabulary.grasps])))
        before, contact = GRASPS[name]
        shapes = [scene.choose((GESTURES["relaxed"], GESTURES["soft"]), 1)[0], before, contact, before]
        first = int(scene.generator.integers(4))
        angles = scene.sequence(shapes[first:] + shapes[:first], (0.25, 0.8), (0.02, scene.uniform(0.1, 2.0)))
        return angles + scene.noise(scene.uniform(0.3, 1.2)) * scene.uniform(0.5, 3)

    return reach_and_hold


def _handling(scene: Scene) -> Floats:
    """An object held, shifted, turned and regripped: a grasp plus coordinated oscillation of the fingers."""
    before, contact = GRASPS[str(scene.generator.choice(np.array(scene.vocabulary.grasps)))]
    angles = scene.sequence([contact, contact, before], (0.2, 0.7), (0.2, scene.uniform(0.4, 2.5)))
    mixing = scene.generator.normal(size=(4, len(DOFS)))
    mixing[:, MCP] = mixing[:, MCP] * 0.6 + scene.generator.normal(size=(4, 1))
    mixing[:, PIP] = mixing[:, PIP] * 0.6 + scene.generator.normal(size=(4, 1))
    mixing[:, SPREAD] *= 0.4
    drive = scene.noise(scene.uniform(0.3, 1.8), 4)
    if scene.generator.random() < 0.4:
        cycles = scene.uniform(0.6, 2.2) * scene.times_s + 0.15 * scene.noise(0.3, 1)[:, 0]
        drive[:, 0], drive[:, 1] = np.sin(2 * np.pi * cycles), np.cos(2 * np.pi * cycles)
    active = minimum_jerk((scene.noise(0.4, 1) + scene.uniform(-0.5, 1.5)) / 1.0 + 0.5)
    return angles + active * scene.uniform(2, 9) * (drive @ mixing)


def _exploring(scene: Scene) -> Floats:
    """Postures without a name: each finger takes its own from the table, with smooth noise on top."""
    count = int(np.ceil(scene.seconds / 0.3)) + 4
    postures = []
    for _ in range(count):
        parts = [scene.posture(shape, looseness=8) for shape in scene.choose(scene.shapes, 3)]
        mask, weight = scene.generator.integers(0, 2, len(DOFS) // 4), scene.generator.random()
        per_finger = np.concatenate((np.repeat(mask[:4], 4), np.repeat(mask[4:5], len(DOFS) - 16)))
        postures.append(np.where(per_finger, parts[0], weight * parts[1] + (1 - weight) * parts[2]))
    fast = scene.uniform(0.15, 1.0)
    moves = scene.generator.uniform(0.8, 1.5, count - 1) * fast
    holds = scene.generator.uniform(0, scene.uniform(0.05, 1.0), count - 1)
    angles = through(np.array(postures), moves, holds, scene.times_s, scene.generator, stagger=0.3)
    return angles + scene.noise(scene.uniform(0.2, 2.5)) * scene.uniform(0, 8)


def _drifting(scene: Scene) -> Floats:
    """Every angle wanders inside its range, neighbors loosely together."""
    shared = scene.noise(scene.uniform(0.15, 1.5), 3) @ scene.generator.normal(0, 0.6, (3, len(DOFS)))
    own = scene.noise(scene.uniform(0.15, 2.0))
    middle = scene.posture(scene.choose(scene.shapes, 1)[0])
    return middle + 0.25 * (HIGH - LOW) * scene.uniform(0.2, 1.0) * (shared + scene.uniform(0.2, 0.9) * own)


def _mixed(scene: Scene) -> Floats:
    """Two kinds in one take, the first turning into the second."""
    first, second = (KINDS[str(k)](scene) for k in scene.generator.choice(np.array(PURE), 2))
    start, length = scene.uniform(0.15, 0.85) * scene.seconds, scene.uniform(0.25, 0.9)
    return first + (second - first) * minimum_jerk((scene.times_s[:, None] - start) / length)


KINDS: dict[str, Callable[[Scene], Floats]] = {
    "rest": _rest,
    "spelling": _spelling,
    "counting": _counting,
    "gestures": _gestures,
    "pinches": _pinches,
    "pointing": _pointing,
    "typing": _typing,
    "waving": _waving,
    "finger_waves": _finger_waves,
    "power_grasps": _grasps(POWER),
    "precision_grasps": _grasps(PRECISION),
    "other_grasps": _grasps(BETWEEN),
    "handling": _handling,
    "exploring": _exploring,
    "drifting": _drifting,
    "mixed": _mixed,
}
PURE = tuple(name for name in KINDS if name != "mixed")


def generate_motion(
    kind: str,
    seconds: float,
    fps: float,
    generator: np.random.Generator,
    vocabulary: Vocabulary = EVERYTHING,
    subject: Subject | None = None,
) -> Floats:
    """Generate a right hand's finger motion: absolute axis-angle hand_pose [T, 15, 3], T = round(seconds * fps).

    `kind` is a name in `KINDS`; without a `subject` a new person is drawn. Raises UnknownNameError.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of motion", kind, KINDS)
    subject = subject or Subject.sample(generator)
    times_s = np.arange(max(round(seconds * fps), 1)) / fps
    scene = Scene(subject, times_s, fps, generator, vocabulary)
    angles = KINDS[kind](scene)
    # A person neither stands quite still nor moves on rails.
    angles = angles + scene.noise(0.6) * scene.uniform(0.2, 1.5)
    angles = angles + subject.tremor_deg * tremor(len(times_s), len(DOFS), fps, generator)
    return angles_to_hand_pose(angles, subject)


def _cycle(scene: Scene, rate_hz: float, lags: Floats) -> Floats:
    """Return a wave in [0, 1] per angle, [T, 21], of irregular pace and a shape between sine and steps."""
    cycles = rate_hz * scene.times_s + 0.1 * scene.noise(0.4, 1)[:, 0] + scene.uniform(0, 1)
    sharp = scene.uniform(0.5, 3.0)
    wave = np.sin(2 * np.pi * (cycles[:, None] - lags))
    return 0.5 + 0.5 * np.tanh(sharp * wave) / np.tanh(sharp)
