"""GLB: both hands as skinned, animated meshes in one binary glTF 2.0 file, for Blender, three.js and game engines.

pygltflib spells the file; what it holds is decided here. Upright axes (y up), meters, real time stamps.
"""

from pathlib import Path

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, AnimatedHand, animate
from hmpfit.exporters.bvh import RIGID_M
from hmpfit.hands.model import HandModels
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import MANO_JOINTS

_SKIN = (0.80, 0.61, 0.51, 1.0)  # base color, linear RGBA
_ROUGHNESS = 0.7
_INFLUENCES = 4  # joints per vertex that glTF's JOINTS_0 holds


def write(result: StoredResult, models: HandModels, out: Path) -> list[Path]:
    """Write `out/hands.glb`, or `out` itself if it ends in .glb, and return it.

    Each hand is a node tree named after its joints (`right_index1`, ...) with the tips as leaves; rotations and the
    wrist's position are sampled at every frame. MANO's pose correctives have no place in a glTF skin and are left out:
    joints are exact, the surface of a licensed hand differs by its correctives.
    """
    file = out if out.suffix == ".glb" else out / "hands.glb"
    file.parent.mkdir(parents=True, exist_ok=True)
    times = result.tracks.times_s - result.tracks.times_s[0]
    document = _Document(times)
    for hand in animate(result, models):
        document.add(hand)
    document.save(file)
    return [file]


class _Document:
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

    def add(self, hand: AnimatedHand) -> None:
        """Add one hand: its joints as nodes, its skinned mesh, its animation."""
        # A node of its own above each wrist, so that Blender makes one armature per hand.
        self.file.nodes.append(gltf.Node(name=f"{hand.label}_hand", children=[len(self.file.nodes) + 1]))
        first, joints = len(self.file.nodes), len(MANO_JOINTS)
        rotations = hand.rotations.copy()
        rotations[:, 0] = UPRIGHT_FROM_CAMERA @ rotations[:, 0]
        wrist = hand.wrist @ UPRIGHT_FROM_CAMERA
        for joint, name in enumerate(hand.names):
            children = [first + other for other, parent in enumerate(hand.parents) if parent == joint]
            offset = (
                hand.tips[0, joint - joints]
                if joint >= joints
                else hand.rest[joint] - hand.rest[max(hand.parents[joint], 0)]
            )
            self.file.nodes.append(
                gltf.Node(
                    name=f"{hand.label}_{name}",
                    children=children,
                    translation=(wrist[0] if joint == 0 else offset).tolist(),
                    rotation=_quaternions(rotations[:1, joint])[0].tolist() if joint < joints else None,
                )
            )
        for joint in range(joints):
            self.animate(first + joint, "rotation", _quaternions(rotations[:, joint]))
        self.animate(first, "translation", wrist)
        for tip in np.flatnonzero(np.abs(hand.tips - hand.tips[:1]).max(axis=(0, 2)) >= RIGID_M):
            self.animate(first + joints + int(tip), "translation", hand.tips[:, tip])
        self._add_mesh(hand, first)

    def _add_mesh(self, hand: AnimatedHand, first: int) -> None:
        influences = np.argsort(-hand.weights, axis=1, kind="stable")[:, :_INFLUENCES]
        shares = np.take_along_axis(hand.weights, influences, axis=1).astype(np.float32)
        shares /= shares.sum(1, keepdims=True)
        influences[shares == 0] = 0
        # The tips move no vertex; as joints of the skin they are bones in Blender too.
        back = np.tile(np.eye(4), (len(hand.names), 1, 1))
        back[:, 3, :3] = -hand.rest  # glTF stores columns first
        attributes = gltf.Attributes(
            POSITION=self.store(hand.rest_vertices.astype(np.float32), gltf.VEC3, gltf.ARRAY_BUFFER, bounds=True),
            NORMAL=self.store(_normals(hand).astype(np.float32), gltf.VEC3, gltf.ARRAY_BUFFER),
            JOINTS_0=self.store(influences.astype(np.uint16), gltf.VEC4, gltf.ARRAY_BUFFER),
            WEIGHTS_0=self.store(shares, gltf.VEC4, gltf.ARRAY_BUFFER),
        )
        corners = self.store(hand.faces.astype(np.uint32).reshape(-1, 1), gltf.SCALAR, gltf.ELEMENT_ARRAY_BUFFER)
        primitive = gltf.Primitive(attributes=attributes, indices=corners, material=0)
        self.file.meshes.append(gltf.Mesh(name=f"{hand.label}_hand", primitives=[primitive]))
        self.file.skins.append(
            gltf.Skin(
                name=f"{hand.label}_hand",
                joints=list(range(first, first + len(hand.names))),
                skeleton=first,
                inverseBindMatrices=self.store(back.astype(np.float32).reshape(-1, 16), gltf.MAT4),
            )
        )
        skinned = gltf.Node(
            name=f"{hand.label}_hand_mesh", mesh=len(self.file.meshes) - 1, skin=len(self.file.skins) - 1
        )
        self.file.nodes.append(skinned)
        self.file.scenes[0].nodes.extend((first - 1, len(self.file.nodes) - 1))

    def save(self, path: Path) -> None:
        """Write the binary file."""
        self.file.buffers.append(gltf.Buffer(byteLength=len(self.buffer)))
        self.file.set_binary_blob(bytes(self.buffer))
        self.file.save_binary(str(path))


def _quaternions(rotations: Floats) -> Floats:
    """Return unit quaternions [T, 4] (x, y, z, w) of rotations [T, 3, 3], neighbors on the same side of the sphere."""
    found = Rotation.from_matrix(rotations).as_quat()
    turned = np.sign((found[1:] * found[:-1]).sum(1))
    return found * np.concatenate(([1.0], np.cumprod(np.where(turned == 0, 1, turned))))[:, None]


def _normals(hand: AnimatedHand) -> Floats:
    """Return area-weighted vertex normals [V, 3] of the rest mesh."""
    corners = hand.rest_vertices[hand.faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(hand.rest_vertices)
    for corner in range(3):
        np.add.at(normals, hand.faces[:, corner], facing)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
