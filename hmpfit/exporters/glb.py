"""GLB: both hands as skinned, animated meshes in one binary glTF 2.0 file, for Blender, three.js and game engines.

pygltflib spells the file; what it holds is decided here. Upright axes (y up), meters, real time stamps.
"""

from pathlib import Path

import numpy as np
import pygltflib as gltf

from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, AnimatedHand, animate
from hmpfit.exporters.bone_names import bone_name
from hmpfit.exporters.bvh import RIGID_M
from hmpfit.exporters.glb_camera import add_camera
from hmpfit.exporters.glb_document import GlbDocument, smooth_quaternions
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult
from hmpfit.skeleton import MANO_JOINTS

_INFLUENCES = 4  # joints per vertex that glTF's JOINTS_0 holds


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `out/hands.glb`, or `out` itself if it ends in .glb, and return it.

    Each hand is a node tree named after its joints (`right_index1`, ...) with the tips as leaves; rotations and the
    wrist's position are sampled at every frame. MANO's pose correctives have no place in a glTF skin and are left out:
    joints are exact, the surface of a licensed hand differs by its correctives. A node `camera` films the hands as the
    clip's camera did (its principal point in the middle, which is all that glTF knows); where the clip is known, its
    first frame hangs behind them as an image plane.
    """
    file = out if out.suffix == ".glb" else out / "hands.glb"
    file.parent.mkdir(parents=True, exist_ok=True)
    times = result.tracks.times_s - result.tracks.times_s[0]
    document = GlbDocument(times)
    for hand in animate(result, models):
        _add_hand(document, hand, options.bones)
    add_camera(document, result, options)
    document.save(file)
    return [file]


def _add_hand(document: GlbDocument, hand: AnimatedHand, bones: str) -> None:
    """Add one hand: its joints as nodes, its skinned mesh, its animation."""
    # A node of its own above each wrist, so that Blender makes one armature per hand.
    document.file.nodes.append(gltf.Node(name=f"{hand.label}_hand", children=[len(document.file.nodes) + 1]))
    first, joints = len(document.file.nodes), len(MANO_JOINTS)
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
        document.file.nodes.append(
            gltf.Node(
                name=bone_name(bones, hand.label, name),
                children=children,
                translation=(wrist[0] if joint == 0 else offset).tolist(),
                rotation=smooth_quaternions(rotations[:1, joint])[0].tolist() if joint < joints else None,
            )
        )
    for joint in range(joints):
        document.animate(first + joint, "rotation", smooth_quaternions(rotations[:, joint]))
    document.animate(first, "translation", wrist)
    for tip in np.flatnonzero(np.abs(hand.tips - hand.tips[:1]).max(axis=(0, 2)) >= RIGID_M):
        document.animate(first + joints + int(tip), "translation", hand.tips[:, tip])
    _add_mesh(document, hand, first)


def _add_mesh(document: GlbDocument, hand: AnimatedHand, first: int) -> None:
    influences = np.argsort(-hand.weights, axis=1, kind="stable")[:, :_INFLUENCES]
    shares = np.take_along_axis(hand.weights, influences, axis=1).astype(np.float32)
    shares /= shares.sum(1, keepdims=True)
    influences[shares == 0] = 0
    # The tips move no vertex; as joints of the skin they are bones in Blender too.
    back = np.tile(np.eye(4), (len(hand.names), 1, 1))
    back[:, 3, :3] = -hand.rest  # glTF stores columns first
    attributes = gltf.Attributes(
        POSITION=document.store(hand.rest_vertices.astype(np.float32), gltf.VEC3, gltf.ARRAY_BUFFER, bounds=True),
        NORMAL=document.store(_normals(hand).astype(np.float32), gltf.VEC3, gltf.ARRAY_BUFFER),
        JOINTS_0=document.store(influences.astype(np.uint16), gltf.VEC4, gltf.ARRAY_BUFFER),
        WEIGHTS_0=document.store(shares, gltf.VEC4, gltf.ARRAY_BUFFER),
    )
    corners = document.store(hand.faces.astype(np.uint32).reshape(-1, 1), gltf.SCALAR, gltf.ELEMENT_ARRAY_BUFFER)
    primitive = gltf.Primitive(attributes=attributes, indices=corners, material=0)
    document.file.meshes.append(gltf.Mesh(name=f"{hand.label}_hand", primitives=[primitive]))
    document.file.skins.append(
        gltf.Skin(
            name=f"{hand.label}_hand",
            joints=list(range(first, first + len(hand.names))),
            skeleton=first,
            inverseBindMatrices=document.store(back.astype(np.float32).reshape(-1, 16), gltf.MAT4),
        )
    )
    skinned = gltf.Node(
        name=f"{hand.label}_hand_mesh", mesh=len(document.file.meshes) - 1, skin=len(document.file.skins) - 1
    )
    document.file.nodes.append(skinned)
    document.file.scenes[0].nodes.extend((first - 1, len(document.file.nodes) - 1))


def _normals(hand: AnimatedHand) -> Floats:
    """Return area-weighted vertex normals [V, 3] of the rest mesh."""
    corners = hand.rest_vertices[hand.faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(hand.rest_vertices)
    for corner in range(3):
        np.add.at(normals, hand.faces[:, corner], facing)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
