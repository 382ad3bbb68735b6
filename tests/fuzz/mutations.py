"""Damage a valid file in ways that its format knows: bytes, arrays, JSON, texts, pickles, safetensors, zips.

Every function takes a `random.Random`, so that a case is repeated by its number and hypothesis can choose the numbers.
"""

import io
import json
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

INTERESTING = (0, 1, -1, 2, 127, 128, 255, 256, 65535, 2**31 - 1, -(2**31), 2**32, 2**40, 2**62, -(2**63))
HOSTILE: tuple[Any, ...] = (
    None, True, "", "x", "../../etc/passwd", "\ud800", "a\x00b", -1, 0, 1e308, -1e-300, 10**30, 10**400, float("nan"),
    float("inf"), [], {}, [[]], [None], {"a": {}}, [1, [2, [3]]], "9" * 200, [0] * 1000,
)  # fmt: skip
NAMES = (
    b"os\nsystem", b"builtins\neval", b"builtins\nexec", b"builtins\ngetattr", b"builtins\nbytearray", b"numpy\nload",
    b"numpy\nndarray", b"numpy\ndtype", b"numpy.core.multiarray\n_reconstruct", b"numpy.core.multiarray\nscalar",
    b"copyreg\n_reconstructor", b"subprocess\nPopen", b"chumpy.ch\nCh", b"scipy.sparse.csc\ncsc_matrix",
    b"joblib.numpy_pickle\nNumpyArrayWrapper", b"torch._utils\n_rebuild_tensor_v2", b"collections\nOrderedDict",
    b"builtins\nlist", b"builtins\nobject", b"torch.storage\n_load_from_bytes", b"importlib\nimport_module",
)  # fmt: skip


def payload(canary: Path) -> bytes:
    """Return opcodes that would create the canary, were they run."""
    return b"cos\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR"


def mutate(content: bytes, suffix: str, random: Random, canary: Path) -> bytes:
    """Return a damaged version of a file's content."""
    by_format = _FORMATS.get(suffix)
    if by_format is None or random.random() < 0.25:
        return raw(content, random)
    try:
        return by_format(content, random, canary)
    except Exception:  # what was damaged before may not be of its format any more
        return raw(content, random)


def raw(content: bytes, random: Random) -> bytes:
    """Damage bytes without knowing what they mean."""
    out = bytearray(content)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(out) + 1)
        length = min(random.choice((1, 1, 2, 4, 8, 64, 1000)), len(out) - at)
        kind = random.randrange(8)
        if kind == 0:
            del out[at:]
        elif kind == 1:
            del out[at : at + length]
        elif kind == 2:
            out[at : at + length] = random.randbytes(length)
        elif kind == 3:
            out[at:at] = out[at : at + length] * random.choice((1, 2, 50))
        elif kind == 4 and at < len(out):
            out[at] ^= 1 << random.randrange(8)
        elif kind == 5:
            number = random.choice(INTERESTING) % 2**64
            out[at : at + 8] = number.to_bytes(8, random.choice(("little", "big")))
        elif kind == 6:
            out[at : at + length] = bytes(length)
        elif random.random() < 0.1:
            out = bytearray(random.randbytes(random.choice((0, 1, 100))))
    return bytes(out)


def _array(array: np.ndarray, random: Random) -> Any:
    """Return another array in place of one."""
    other = np.array(array)
    kind = random.randrange(16)
    if kind == 0:
        return other[..., None]
    if kind == 1:
        return other.reshape(-1)
    if kind == 2:
        return other.T
    if kind == 3:
        return np.zeros(random.choice(((0,), (0, 3), (1,), (3, 3), (2, 5, 21, 3))))
    if kind == 4:
        return np.array(random.choice(("text", b"bytes", 1 + 2j, True)))
    if kind == 5:
        return other.astype(random.choice((np.float16, np.int8, np.uint64, np.complex64, "S8", "U8")))
    if kind == 6:
        return np.array([{"a": 1}, None], dtype=object)
    if kind == 7:
        return np.zeros(3, dtype=[("x", "f4"), ("y", "i8")])
    if kind == 8 and other.ndim:
        return other[: len(other) // 2]
    if kind == 9 and other.ndim:
        return np.concatenate((other, other))
    if kind == 10:
        return np.array("2020-01-01", dtype="datetime64[s]")
    values = (np.nan, np.inf, -np.inf, 1e30, -1e30, 0, -1, 1e-320, 2**53, 5)
    if other.dtype.kind in "fiu" and other.size:
        with np.errstate(all="ignore"):
            if kind == 11:
                return np.full_like(other, random.choice(values) if other.dtype.kind == "f" else 2**30)
            flat = other.reshape(-1).astype(np.float64)
            flat[random.randrange(len(flat))] = random.choice(values)
            return flat.reshape(other.shape)
    return np.zeros(())


def npz(content: bytes, random: Random, canary: Path) -> bytes:
    """Damage an npz: keys, arrays, headers that lie, entries that unpack to much."""
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    for _ in range(random.randint(1, 2)):
        kind, key = random.randrange(8), random.choice(sorted(arrays) or ["a"])
        if kind == 0:
            arrays.pop(key, None)
        elif kind == 1 and key in arrays:
            arrays[random.choice(("", "../x", "x" * 300, key.upper()))] = arrays.pop(key)
        elif key in arrays:
            arrays[key] = _array(arrays[key], random)
    out = io.BytesIO()
    (np.savez if random.random() < 0.8 else np.savez_compressed)(out, **arrays)
    data = out.getvalue()
    if random.random() < 0.25:
        data = _lying_header(data, random)
    return _zip_trick(data, random) if random.random() < 0.15 else data


def _lying_header(data: bytes, random: Random) -> bytes:
    swaps = (
        (b"'shape': (", b"'shape': (9999999999,"), (b"'<f8'", b"'<f4'"), (b"'<f8'", b"'|O8'"), (b"'<f8'", b"'<U9'"),
        (b"False", b"True "), (b"'shape': (", b"'shape': (-1,"), (b"'descr'", b"'descx'"), (b"'<f8'", b"'|V8'"),
    )  # fmt: skip
    old, new = random.choice(swaps)
    at = data.find(old)
    return data if at < 0 else data[:at] + new + data[at + len(new) :]


def _zip_trick(data: bytes, random: Random) -> bytes:
    kind = random.randrange(4)
    if kind == 0:  # encrypted
        out = bytearray(data)
        at = out.rfind(b"PK\x01\x02")
        if at >= 0:
            out[at + 8] |= 1
        return bytes(out)
    if kind == 1:  # another way of compression
        return data.replace(
            b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x0e\x00"
        )
    out_stream = io.BytesIO(data)
    with zipfile.ZipFile(out_stream, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb.npy", "w") as entry:
        for _ in range(random.choice((1, 300))):
            entry.write(bytes(1 << 20))
    return out_stream.getvalue()


def zipped(content: bytes, random: Random, canary: Path) -> bytes:
    """Damage an entry of a zip by its own format, or leave entries out, or the zip itself."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    name = random.choice(sorted(entries))
    kind = random.randrange(4)
    if kind == 0:
        del entries[name]
    else:
        entries[name] = mutate(entries[name], Path(name).suffix, random, canary)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for key, value in entries.items():
            archive.writestr(key, value)
    return _zip_trick(out.getvalue(), random) if random.random() < 0.1 else out.getvalue()


def json_text(content: bytes, random: Random, canary: Path) -> bytes:
    """Damage a JSON text: a value, a key, the whole."""
    tree = json.loads(content)
    for _ in range(random.randint(1, 2)):
        tree = _other_value(tree, random)
    text = json.dumps(tree)
    if random.random() < 0.1:
        text = random.choice(("{}", "[]", "null", "[" * 200_000, '{"a":' * 5000, "1e999", "\ufeff" + text, text + text))
    return text.encode("utf-8", "surrogatepass")


def _other_value(tree: Any, random: Random) -> Any:
    places: list[tuple[Any, Any]] = []
    level: list[Any] = [tree] if isinstance(tree, dict | list) else []
    while level and len(places) < 3000:
        node = level.pop()
        children = (
            list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
        )
        places += [(node, key) for key, _ in children]
        level += [child for _, child in children if isinstance(child, dict | list)]
    if not places or random.random() < 0.03:
        return random.choice(HOSTILE)
    node, key = random.choice(places)
    kind = random.randrange(6)
    if kind == 0 and isinstance(node, dict):
        del node[key]
    elif kind == 1 and isinstance(node, list):
        node[:] = node[: len(node) // 2] if random.random() < 0.5 else node * 2
    elif kind == 2:
        node[key] = [node[key]]
    else:
        node[key] = random.choice(HOSTILE)
    return tree


def text(content: bytes, random: Random, canary: Path) -> bytes:
    """Damage a text of lines with numbers, such as TOML, YAML or tables."""
    lines = content.decode("utf-8", "replace").split("\n")
    at = random.randrange(len(lines))
    kind = random.randrange(7)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind in (2, 3, 4):
        digits = "".join(c for c in lines[at] if c.isdigit())
        new = str(random.choice((-1, 0, "nan", "inf", "1e400", "9" * 100, "true", "'x'", "[[]]", "{}", "1e-30", "")))
        lines[at] = lines[at].replace(digits or "=", new, 1)
    elif kind == 5:
        lines[at] = random.choice(
            ("a = " + "[" * 3000, ".".join("a" * 2000) + " = 1", "\t", "- " * 3000, "x: *y", "<<: 1")
        )
    else:
        lines[at] = lines[at][::-1]
    return "\n".join(lines).encode("utf-8", "replace")


def pickled(content: bytes, random: Random, canary: Path) -> bytes:
    """Damage a pickle by whole opcodes, their numbers, the names it asks for, and what is built."""
    starts = [place for _, _, place in pickletools.genops(content)]
    end = starts[-1] + 1
    parts = [content[a:b] for a, b in zip(starts, [*starts[1:], end])]
    rest = content[end:]
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(parts))
        kind = random.randrange(9)
        if kind == 0:
            del parts[at]
        elif kind == 1:
            parts.insert(at, random.choice(parts))
        elif kind == 2:
            other = random.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif kind == 3:
            named = [i for i, part in enumerate(parts) if part[:1] == b"c"]
            at = random.choice(named or [at])
            parts[at] = b"c" + random.choice(NAMES) + b"\n"
        elif kind == 4:
            parts.insert(
                at, random.choice((b"(", b"0", b"2", b"b", b"t", b"}", b"]", b"R", b"\x85", b"\x94", b"a", b"s", b"e"))
            )
        elif kind == 5:
            parts.insert(at, payload(canary))
        elif kind == 6:
            numbers = [i for i, part in enumerate(parts) if part[:1] in b"KMJ\x8a"]
            at = random.choice(numbers or [at])
            number = random.choice(INTERESTING)
            parts[at] = b"\x8a" + bytes([9]) + number.to_bytes(9, "little", signed=True)
        elif kind == 7:
            parts[at] = raw(parts[at], random)
        else:
            parts.insert(at, b"\x85" * random.choice((1, 100, 100_000)))
        parts = parts or [b"."]
    return b"".join(parts) + rest


def safetensors(content: bytes, random: Random, canary: Path) -> bytes:
    """Damage the header of a safetensors file, or its values."""
    length = int.from_bytes(content[:8], "little")
    header, data = content[8 : 8 + length], bytearray(content[8 + length :])
    kind = random.randrange(4)
    if kind == 0 and data:
        at = random.randrange(len(data))
        data[at : at + 2] = b"\xff\x7f"
    elif kind == 1:
        tree = json.loads(header)
        about = tree.get("__metadata__", {})
        keys = [key for key in about if about[key][:1] == "{"]
        if keys:
            about[keys[0]] = json_text(about[keys[0]].encode(), random, canary).decode("utf-8", "replace")
        header = json.dumps(tree).encode()
    else:
        header = json_text(header, random, canary)
    return len(header).to_bytes(8, "little") + header + bytes(data)


_FORMATS: dict[str, Callable[[bytes, Random, Path], bytes]] = {
    ".npz": npz, ".json": json_text, ".toml": text, ".yml": text, ".yaml": text, ".txt": text, ".csv": text,
    ".pkl": pickled, ".joblib": pickled, ".task": zipped, ".zip": zipped, ".pth": zipped, ".legacy": pickled,
    ".safetensors": safetensors,
}  # fmt: skip
