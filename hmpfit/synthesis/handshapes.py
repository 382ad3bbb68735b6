"""Postures of a hand as a table: fingerspelling letters, numbers, gestures and grasps, in degrees.

Data only. A finger's posture is a letter of `FINGER_CODES`, a hand four of them (index to little finger), a spread and
the name of a thumb posture. The letters are the one-handed American alphabet, the grasps follow Feix et al. 2016.
"""

from dataclasses import dataclass

# (knuckle, middle joint, last joint beyond its coupling)
FINGER_CODES: dict[str, tuple[float, float, float]] = {
    "E": (0, 4, 0),  # extended
    "S": (14, 22, 0),  # slightly curved
    "R": (28, 38, 0),  # relaxed
    "O": (42, 52, 0),  # round
    "Q": (58, 42, -12),  # pad pressed to the thumb
    "B": (72, 14, 0),  # bent at the knuckle
    "K": (38, 8, 0),  # half bent, straight
    "H": (6, 88, 0),  # hooked
    "W": (42, 98, 0),  # claw on the thumb
    "M": (78, 52, 0),  # over the thumb
    "C": (80, 96, 0),  # fist
}

# (bend, lift, roll, second joint, last joint) of the thumb
THUMBS: dict[str, tuple[float, float, float, float, float]] = {
    "rest": (6, 12, 8, 12, 14),
    "out": (-16, 4, 0, 0, -6),
    "up": (-20, -6, 0, -4, -12),
    "side": (14, 8, 6, 12, 6),
    "across": (32, 30, 18, 42, 40),
    "palm": (36, 38, 22, 52, 62),
    "under": (30, 34, 22, 40, 34),
    "oppose": (16, 40, 30, 16, 22),
    "wide": (2, 44, 26, 8, 14),
    "press": (28, 12, 12, 26, 30),
    "hitch": (-14, 22, 10, -2, 0),
}


@dataclass(frozen=True)
class Handshape:
    """One posture; `spread` in degrees between neighboring fingers, `pinched` names fingers that touch the thumb."""

    fingers: str
    thumb: str
    spread: float = 3.0
    pinched: tuple[str, ...] = ()


H = Handshape
LETTERS: dict[str, Handshape] = {
    "a": H("CCCC", "side"), "b": H("EEEE", "across", 0), "c": H("OOOO", "wide", 2),
    "d": H("EOOO", "oppose", 2, ("middle",)), "e": H("WWWW", "palm", 0),
    "f": H("QEEE", "oppose", 8, ("index",)), "g": H("KCCC", "side"), "h": H("KKCC", "across", 0),
    "i": H("CCCE", "across"), "j": H("CCCE", "press"), "k": H("EKCC", "side", 6), "l": H("ECCC", "out"),
    "m": H("MMMC", "palm", 0), "n": H("MMCC", "palm", 0), "o": H("QQQQ", "oppose", 1, ("index", "middle")),
    "p": H("KBCC", "side", 4), "q": H("BCCC", "press"), "r": H("EECC", "across", -7), "s": H("CCCC", "across"),
    "t": H("MCCC", "under"), "u": H("EECC", "across", 0), "v": H("EECC", "across", 11),
    "w": H("EEEC", "palm", 9, ("pinky",)), "x": H("HCCC", "across"), "y": H("CCCE", "out", 6),
    "z": H("ECCC", "press"),
}  # fmt: skip
NUMBERS: dict[str, Handshape] = {
    "0": H("QQQQ", "oppose", 1, ("index", "middle")), "1": H("ECCC", "across"), "2": H("EECC", "across", 10),
    "3": H("EECC", "out", 10), "three_fingers": H("EEEC", "palm", 8), "4": H("EEEE", "palm", 9),
    "5": H("EEEE", "out", 11), "6": H("EEEQ", "oppose", 8, ("pinky",)), "7": H("EEQE", "oppose", 8, ("ring",)),
    "8": H("EQEE", "oppose", 8, ("middle",)), "9": H("QEEE", "oppose", 8, ("index",)), "10": H("CCCC", "up"),
}  # fmt: skip
GESTURES: dict[str, Handshape] = {
    "flat": H("EEEE", "side", 1), "open": H("EEEE", "out", 10), "splayed": H("EEEE", "up", 16),
    "relaxed": H("RRRR", "rest", 2), "fist": H("CCCC", "across"), "point": H("ECCC", "across"),
    "point_loose": H("EOOO", "rest"), "thumb_up": H("CCCC", "up"), "gun": H("ECCC", "up"),
    "gun_two": H("EECC", "up", 0), "horns": H("ECCE", "across", 6), "call": H("CCCE", "out", 6),
    "cup": H("SSSS", "wide", 0), "half": H("OOOO", "rest", 2), "claw": H("HHHH", "hitch", 10),
    "tent": H("BBBB", "oppose", 0), "soft": H("SSRR", "rest", 4), "three": H("EEEC", "hitch", 8),
    "mouse": H("SSRO", "side", 4),
}  # fmt: skip
# (before contact, at contact)
GRASPS: dict[str, tuple[Handshape, Handshape]] = {
    "cylinder": (H("SSSS", "wide", 4), H("OOOO", "oppose", 2)),
    "rod": (H("RRRR", "wide", 2), H("MMMM", "across", 0)),
    "sphere": (H("SSSS", "wide", 14), H("ROOR", "oppose", 12)),
    "disk": (H("EEEE", "wide", 15), H("SRRS", "wide", 15)),
    "hook": (H("RRRR", "rest", 1), H("HHHH", "side", 0)),
    "lateral": (H("OOOO", "hitch", 2), H("OMMM", "press", 0)),
    "pinch": (H("RRSS", "wide", 4), H("QRSS", "oppose", 4, ("index",))),
    "tripod": (H("RRRR", "wide", 3), H("QQOO", "oppose", 2, ("index", "middle"))),
    "quadpod": (H("RRRR", "wide", 5), H("QQQO", "oppose", 3, ("index", "middle", "ring"))),
    "five_tips": (H("RRRR", "wide", 8), H("QQQQ", "oppose", 5, ("index", "middle", "ring", "pinky"))),
    "writing": (H("RROO", "oppose", 1), H("OOOM", "oppose", 0, ("middle",))),
    "platform": (H("SSSS", "wide", 8), H("EEES", "hitch", 8)),
    "parallel": (H("KKKK", "wide", 1), H("BBBB", "oppose", 0)),
    "scissors": (H("EEOO", "press", 14), H("EEOO", "press", 0)),
    "trigger": (H("SOOO", "wide", 3), H("ROMM", "across", 1)),
    "bottle": (H("SSSS", "wide", 6), H("RROO", "wide", 3)),
    "key_turn": (H("OMMM", "hitch", 0), H("QMMM", "press", 0, ("index",))),
    "lid": (H("SSSS", "wide", 12), H("RRRR", "wide", 9)),
}  # fmt: skip
SHAPES: dict[str, Handshape] = {
    **LETTERS, **NUMBERS, **GESTURES,
    **{f"{name}_open": pair[0] for name, pair in GRASPS.items()}, **{name: pair[1] for name, pair in GRASPS.items()},
}  # fmt: skip
WORDS: tuple[str, ...] = (
    "hand", "motion", "prior", "video", "camera", "finger", "thumb", "index", "middle", "ring", "little", "palm",
    "wrist", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "hello", "world", "thanks", "please", "sign",
    "letter", "alphabet", "jazz", "quiz", "vexed", "zebra", "kayak", "puzzle", "wave", "box", "milk", "bread",
    "water", "music", "window", "garden", "planet", "summer", "yellow", "orange", "family", "school", "doctor",
    "friend", "morning", "winter", "bridge", "castle", "gym", "exit", "oxygen",
)  # fmt: skip
