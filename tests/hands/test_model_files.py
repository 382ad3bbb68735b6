"""Reading hand models: the shipped hand, MANO's pickles and npz, left files with the known bug, and bad files."""

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hmpfit.errors import InputError
from hmpfit.hands.model import HandModel
from hmpfit.hands.model_files import MANO_TIP_VERTICES, load_hand_models
from tests.model_fixtures import invented_left, invented_model, smplx_arrays, write_released_pickle

ARRAYS = ("v_template", "faces", "shapedirs", "posedirs", "J_regressor", "weights", "hands_mean", "hands_components")


def assert_same(read: HandModel, written: HandModel) -> None:
    for name in ARRAYS:
        assert np.array_equal(getattr(read, name), getattr(written, name)), name


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HMPFIT_MANO", raising=False)


@pytest.mark.parametrize("suffix", ["pkl", "npz"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_right_file_bit_for_bit(tmp_path: Path, suffix: str, as_folder: bool) -> None:
    model = invented_model()
    path = tmp_path / f"MANO_RIGHT.{suffix}"
    if suffix == "pkl":
        write_released_pickle(path, smplx_arrays(model))
        assert b"cchumpy.reordering\nSelect" in path.read_bytes()
        assert b"cscipy.sparse.csc\ncsc_matrix" in path.read_bytes()
    else:
        np.savez(path, **smplx_arrays(model))
    models = load_hand_models(tmp_path if as_folder else path)
    assert_same(models.right, model)
    assert models.left is models.right and models.side(False) is models.left
    assert models.right.name == "MANO_RIGHT" and "mano.is.tue.mpg.de" in models.right.licence


def python2_pickle(content: dict[str, bytes]) -> bytes:
    """Write by hand what Python 2's cPickle makes of {name: uint8 array}: byte strings, no _codecs."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    out = b"\x80\x02}("
    for name, data in content.items():
        array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R("
        array += (
            b"K\x01"
            + b"M"
            + len(data).to_bytes(2, "little")
            + b"\x85cnumpy\ndtype\n"
            + text(b"u1")
            + b"K\x00K\x01\x87R"
        )
        array += b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + text(data) + b"tb"
        out += text(name.encode()) + array
    return out + b"u."


def test_python_2_byte_strings(tmp_path: Path) -> None:
    from hmpfit.files.pickled_values import read_pickled_table

    data = bytes(range(256))
    (tmp_path / "old.pkl").write_bytes(python2_pickle({"weights": data, "f": b"\x00\xff"}))
    read = read_pickled_table(tmp_path / "old.pkl", "a MANO pickle")
    assert read["weights"].tobytes() == data and read["weights"].dtype == np.uint8
    assert read["f"].tolist() == [0, 255]


def test_environment_and_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "mine.npz", **smplx_arrays(invented_model()))
    monkeypatch.setenv("HMPFIT_MANO", str(tmp_path / "mine.npz"))
    assert load_hand_models().right.name == "mine"
    assert load_hand_models("open").right.name == "open"
    monkeypatch.delenv("HMPFIT_MANO")
    assert load_hand_models().right.name == "open"
    assert load_hand_models().right.fingerprint == load_hand_models("open").right.fingerprint
    assert load_hand_models(tmp_path / "mine.npz").right.fingerprint != load_hand_models().right.fingerprint


@pytest.mark.parametrize("with_right", [True, False])
@pytest.mark.parametrize("sign_bug", [True, False])
def test_left_file_becomes_the_mirrored_right_hand(tmp_path: Path, with_right: bool, sign_bug: bool) -> None:
    right, left = invented_model(), invented_left()
    if sign_bug:
        left = replace(left, shapedirs=left.shapedirs * np.array([-1, 1, 1])[:, None])
    write_released_pickle(tmp_path / "MANO_LEFT.pkl", smplx_arrays(left))
    if with_right:
        write_released_pickle(tmp_path / "MANO_RIGHT.pkl", smplx_arrays(right))
    models = load_hand_models(tmp_path)
    assert_same(models.left, right)
    assert_same(models.right, right)
    assert models.left.name == "MANO_LEFT"


def test_tips_of_a_778_vertex_file_are_smplxs(tmp_path: Path) -> None:
    model = invented_model()
    arrays = smplx_arrays(model)
    for key in ("v_template", "shapedirs", "posedirs", "weights"):
        arrays[key] = arrays[key][:778]
    arrays["J_regressor"] = arrays["J_regressor"][:, :778] + 1e-3
    arrays["f"] = np.arange(9, dtype=np.uint32).reshape(3, 3)
    np.savez(tmp_path / "m.npz", **arrays)
    assert load_hand_models(tmp_path / "m.npz").right.tip_vertices.tolist() == list(MANO_TIP_VERTICES)
    np.savez(tmp_path / "n.npz", **smplx_arrays(model))
    assert load_hand_models(tmp_path / "n.npz").right.tip_vertices.tolist() == model.tip_vertices.tolist()


class Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_pickle_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    content = {**smplx_arrays(invented_model()), "J": Hostile(tmp_path / "owned")}
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(InputError, match=r"(posix|nt)\.mkdir"):
        load_hand_models(tmp_path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["builtins.eval", "__builtin__.getattr", "numpy.load", "scipy.io.loadmat"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    (tmp_path / "x.pkl").write_bytes(f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(InputError, match=name):
        load_hand_models(tmp_path / "x.pkl")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"posedirs": None}, "no 'posedirs'"),
        ({"weights": np.zeros((3, 16))}, "'weights' .* shape"),
        ({"J_regressor": np.zeros((24, 1609))}, "'J_regressor' .* shape"),
        ({"hands_mean": np.full(45, np.nan)}, "'hands_mean' .* not finite"),
        ({"f": np.array([[0, 1, 99999]])}, "'f' .* vertices"),
        ({"kintree_table": np.zeros((2, 16))}, "'kintree_table' .* skeleton"),
        ({"v_template": np.array(["a", "b"])}, "'v_template' .* numbers"),
        ({"shapedirs": np.zeros((1609, 3, 4))}, "'shapedirs' .* components"),
    ],
)
def test_wrong_files_name_the_key(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    arrays = {**smplx_arrays(invented_model()), **change}
    np.savez(tmp_path / "m.npz", **{key: value for key, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match=message):
        load_hand_models(tmp_path / "m.npz")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04broken", b"\x80\x02K\x05.", b"not a pickle at all", b"\x80\x02]."]
)
def test_broken_files_say_what_mano_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(content)
    with pytest.raises(InputError, match="register at https://mano"):
        load_hand_models(tmp_path)


def test_missing_files_say_what_mano_is(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="register at https://mano"):
            load_hand_models(path)


def test_two_right_hands_are_refused(tmp_path: Path) -> None:
    for side in ("RIGHT", "LEFT"):
        np.savez(tmp_path / f"MANO_{side}.npz", **smplx_arrays(invented_model()))
    with pytest.raises(InputError, match="both right hands"):
        load_hand_models(tmp_path)
