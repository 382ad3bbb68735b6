"""The readers of files that others made: what is written comes back, what is hostile is refused with one sentence."""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch

from hmpfit.errors import InputError, UnreadableFileError
from hmpfit.files.archives import read_npz
from hmpfit.files.opening import read_bytes
from hmpfit.files.pickled_values import read_object_npy, read_pickle
from hmpfit.files.schemas import Fields
from hmpfit.files.structured import parse_toml_value, read_json, read_toml, read_yaml
from hmpfit.files.torch_files import TENSOR_MAKERS, read_weights

VALUES: dict[str, Any] = {
    "doubles": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    "texts": np.array(["a", "bc"]),
    "none": np.zeros((0, 3)),
    "flags": np.array([True, False]),
    "one": np.array(3),
}
PLAIN = {"t": (1, 2, [3, None, True, 2.5]), "u": "hé", "b": b"\x00\xff", "number": -(2**40)}


def same(read: dict[str, Any]) -> bool:
    return all(np.array_equal(read[k], v) and read[k].dtype == v.dtype for k, v in VALUES.items())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_come_back(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "p.pkl"
    path.write_bytes(pickle.dumps({**VALUES, **PLAIN, "scalar": np.float32(0.5)}, protocol=protocol))
    read = read_pickle(path, "a test")
    assert same(read) and {key: read[key] for key in PLAIN} == PLAIN
    assert read["scalar"] == 0.5 and read["scalar"].dtype == np.float32


def test_joblibs_files_come_back_with_tensors(tmp_path: Path) -> None:
    tensors = {"turned": torch.randn(3, 4).t(), "half": torch.randn(2).half()}
    joblib.dump({**VALUES, **tensors}, tmp_path / "j.pkl")
    read = read_pickle(tmp_path / "j.pkl", "a test", TENSOR_MAKERS)
    assert same(read) and all(np.array_equal(read[k], v.numpy()) for k, v in tensors.items())


@pytest.mark.parametrize("zipped", [True, False])
def test_torchs_files_come_back(zipped: bool, tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    state = {**module.state_dict(), "view": torch.randn(3, 4)[1:, ::2], "brain": torch.randn(5).bfloat16()}
    torch.save({"state_dict": state, "meta": {"epoch": 3}}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    read = read_weights(tmp_path / "w.pth", "weights")
    assert set(read) == set(state)
    assert all(np.array_equal(read[key], value.float().numpy()) for key, value in state.items())


def test_archives_come_back(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", **VALUES)
    read = read_npz(tmp_path / "a.npz")
    assert same(read) and read["doubles"].flags.writeable
    assert set(read_npz(tmp_path / "a.npz", {"one"}.__contains__)) == {"one"}
    np.save(tmp_path / "o.npy", {"left": {"pose": np.ones(3)}})  # type: ignore[arg-type]
    assert read_object_npy(tmp_path / "o.npy", "a test")["left"]["pose"].tolist() == [1, 1, 1]


def _npz_of(header: str, path: Path, data: bytes = b"") -> None:
    text = header.encode().ljust(118) + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data)


def _announces_much(path: Path) -> None:
    _npz_of("{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,), }", path)


def _objects(path: Path) -> None:
    np.savez(path, a=np.array([{}], dtype=object))


def _records(path: Path) -> None:
    np.savez(path, a=np.zeros(2, dtype=[("x", "f4")]))


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as entry:
        for _ in range(300):
            entry.write(bytes(1 << 20))


def _wrong_flags(path: Path) -> None:
    _npz_of("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", path, b"\x01\xff")


def _wrong_texts(path: Path) -> None:
    _npz_of("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", path, b"\xff" * 4)


def _encrypted(path: Path) -> None:
    np.savez(path, a=np.zeros(2))
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_announces_much, "announces 100000000000 values"), (_objects, "Python objects"),
        (_records, "not plain numbers"),
        (_bomb, "would unpack to 300 MiB"), (_wrong_flags, "true and false"), (_wrong_texts, "no characters"),
        (_encrypted, "encrypted"), (lambda path: path.write_bytes(b""), "no zip archive"),
        (lambda path: None, "no such file"), (lambda path: path.mkdir(), "is a folder"),
    ],
)  # fmt: skip
def test_hostile_archives_are_one_sentence(make: Callable[[Path], None], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    make(path)
    with pytest.raises(UnreadableFileError, match=f"bad.npz.*{sentence}"):
        read_npz(path)


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UnreadableFileError, match="pipe or device"):
            read_bytes(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[" * 100_000, "nested too deeply"), ("[" * 80 + "]" * 80, "nested too deeply"), ("9" * 50, "50 digits"),
        ("", "Expecting value"), ('{"a": ', "Expecting value"), ("\x00", "Expecting value"),
    ],
)  # fmt: skip
def test_hostile_json_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(UnreadableFileError, match=f"bad.json.*{sentence}"):
        read_json(tmp_path / "bad.json")


def test_hostile_toml_and_yaml_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    for text in ("a = " + "[" * 5000, ".".join("a" * 3000) + " = 1", "a = 1\na = 2", "\udc80"):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(UnreadableFileError):
            read_toml(path)
    nines = "a0: &a0 [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
    )
    for text in (nines, "[" * 5000, "- " * 5000, "a: !!python/object/apply:os.system [ls]", "x"):
        path.write_text(text)
        with pytest.raises(UnreadableFileError):
            read_yaml(path)
    path.write_text("a: &x [1, 2]\nb: *x\n")
    assert read_yaml(path) == {"a": [1, 2], "b": [1, 2]}
    assert parse_toml_value("[1, 2]") == [1, 2]
    with pytest.raises(ValueError):
        parse_toml_value("1\nother = 2")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"cos\nsystem\n(S'touch /tmp/x'\ntR.", "asks to load 'os.system'"),
        (b"\x80\x02]" + b"\x85" * 100_000 + b".", "nested too deeply"),
        (b"\x80\x02" + b"]q\x00h\x00a.", "nested too deeply"),  # a list that holds itself
        (b"\x80\x02r\xff\xff\xff\xff.", "takes more than it has"),
        (b"\x80\x02N" + b"r\xff\xff\xff\xff.", ""),  # an enormous place to remember: no memory is asked for
        (b"\x80\x04\x8e" + (1 << 50).to_bytes(8, "little") + b"abc.", "expected"),
        (b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "asks to load"),
        (b"\x80\x02}" + b"\x8a\x09" + (2 * (2**61 - 1)).to_bytes(9, "little") + b"Ns.", "a key"),
        (b"\x80\x02cnumpy\nndarray\n.", "asks to load 'numpy.ndarray'"),
    ],
)  # fmt: skip
def test_hostile_pickles_are_one_sentence(content: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(content)
    if not sentence:
        assert read_pickle(path, "a test") is None
        return
    with pytest.raises(InputError, match=f"bad.pkl.*{sentence}"):
        read_pickle(path, "a test")


def test_a_pickle_does_not_grow_by_references(tmp_path: Path) -> None:
    value: list[Any] = [0]
    for _ in range(40):
        value = [value, value]
    (tmp_path / "bomb.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(UnreadableFileError, match="unpack to far more"):
        read_pickle(tmp_path / "bomb.pkl", "a test")


def test_a_tensor_cannot_reach_beyond_its_values(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(8)}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "w.pth").read_bytes()
    far = content.replace(b"QK\x00K\x08\x85", b"QK\x63K\x08\x85")  # offset 99 of 8 values
    assert far != content
    (tmp_path / "w.pth").write_bytes(far)
    with pytest.raises(UnreadableFileError, match="reaches beyond its values"):
        read_weights(tmp_path / "w.pth", "weights")


def test_fields_say_what_is_wrong(tmp_path: Path) -> None:
    content = {
        "a": np.zeros((2, 3)), "b": np.zeros((4, 3)), "nan": [1.0, None], "text": ["x"], "ragged": [[1], [1, 2]],
        "huge": [10**39, 1], "far": [1e9], "rate": 0.001,
    }  # fmt: skip
    fields = Fields(content, "f.npz", "a test")
    assert fields.array("a", ("T", 3)).shape == (2, 3)
    wrong: list[tuple[str, tuple[Any, ...], str]] = [
        ("b", ("T", 3), "T = 2"), ("nan", (2,), "not finite"), ("text", (1,), "no numbers"),
        ("absent", (1,), "missing"),
        ("ragged", (2,), "not an array"), ("far", (1,), "outside of -10000 to 10000"), ("huge", (2,), "outside"),
    ]  # fmt: skip
    for key, shape, sentence in wrong:
        with pytest.raises(UnreadableFileError, match=sentence):
            fields.array(key, shape, low=-1e4, high=1e4)
    assert np.isnan(fields.array("nan", (2,), allow_nan=True)[1])
    with pytest.raises(UnreadableFileError, match="not a number from 1 to 1000"):
        fields.number("rate", 1, 1000)


def test_json_holds_what_it_held(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None, "ü"], "b": {"c": True}}
    (tmp_path / "a.json").write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    assert read_json(tmp_path / "a.json") == content
