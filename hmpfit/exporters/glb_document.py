"""A glTF 2.0 document under construction: the JSON part and its one binary buffer; pygltflib writes the file."""

from pathlib import Path

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from hmpfit.records import Floats

_SKIN = (0.80, 0.61, 0.51, 1.0)  # base color, linear RGBA
_ROUGHNESS = 0.7


class GlbDocument:
    """A glTF document being filled: the JSON part and its one binary buffer."""

    def __init__(self, times_s: Floats) -> None:
        self.buffer = bytearray()
        self.file = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator="hmpfit"),
            scene=0,
            scenes=[gltf.Scene(nodes=[])],
            materials=[
                gltf.Material(
                    name="skin",
                    pbrMetallicRoughness=gltf.PbrMetallicRoughness(
                        baseColorFactor=list(_SKIN), metallicFactor=0.0, roughnessFactor=_ROUGHNESS
                    ),
                    alphaCutoff=None,
                )
            ],
            animations=[gltf.Animation(name="hands", samplers=[], channels=[])],
        )
        self.times = self.store(times_s.astype(np.float32)[:, None], gltf.SCALAR, bounds=True)

    def store(self, values: np.ndarray, kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append rows [N, components] to the buffer and return the index of their accessor."""
        self.buffer.extend(b"\0" * (-len(self.buffer) % 4))
        data = np.ascontiguousarray(values).tobytes()
        self.file.bufferViews.append(
            gltf.BufferView(buffer=0, byteOffset=len(self.buffer), byteLength=len(data), target=target)
        )
        self.buffer.extend(data)
        component = {"f": gltf.FLOAT, "u": gltf.UNSIGNED_INT if values.itemsize == 4 else gltf.UNSIGNED_SHORT}
        self.file.accessors.append(
            gltf.Accessor(
                bufferView=len(self.file.bufferViews) - 1,
                componentType=component[values.dtype.kind],
                count=len(values),
                type=kind,
                min=values.min(0).tolist() if bounds else None,
                max=values.max(0).tolist() if bounds else None,
            )
        )
        return len(self.file.accessors) - 1

    def store_bytes(self, data: bytes) -> int:
        """Append a file (a picture) to the buffer and return the index of its buffer view."""
        self.buffer.extend(b"\0" * (-len(self.buffer) % 4))
        self.file.bufferViews.append(gltf.BufferView(buffer=0, byteOffset=len(self.buffer), byteLength=len(data)))
        self.buffer.extend(data)
        return len(self.file.bufferViews) - 1

    def animate(self, node: int, path: str, values: Floats) -> None:
        """Let a node's `path` ("rotation" or "translation") follow `values` [T, components] over the frames."""
        kind = gltf.VEC4 if path == "rotation" else gltf.VEC3
        animation = self.file.animations[0]
        output = self.store(values.astype(np.float32), kind)
        animation.samplers.append(gltf.AnimationSampler(input=self.times, output=output, interpolation="LINEAR"))
        animation.channels.append(
            gltf.AnimationChannel(
                sampler=len(animation.samplers) - 1, target=gltf.AnimationChannelTarget(node=node, path=path)
            )
        )

    def save(self, path: Path) -> None:
        """Write the binary file."""
        self.file.buffers.append(gltf.Buffer(byteLength=len(self.buffer)))
        self.file.set_binary_blob(bytes(self.buffer))
        self.file.save_binary(str(path))


def smooth_quaternions(rotations: Floats) -> Floats:
    """Return unit quaternions [T, 4] (x, y, z, w) of rotations [T, 3, 3], neighbors on the same side of the sphere."""
    found = Rotation.from_matrix(rotations).as_quat()
    turned = np.sign((found[1:] * found[:-1]).sum(1))
    return found * np.concatenate(([1.0], np.cumprod(np.where(turned == 0, 1, turned))))[:, None]
