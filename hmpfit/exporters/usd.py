"""USD: hands as skinned, animated skeletons with the clip's camera, for Omniverse, Houdini, Maya, Blender and Unreal.

Upright axes (y up), meters. A time code is a frame at the clip's mean rate, 0 the first; samples lie at the real times.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from hmpfit.errors import MissingExtraError
from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, AnimatedHand, animate, frames_per_second
from hmpfit.exporters.bone_names import bone_name
from hmpfit.hands.model import HandModels
from hmpfit.interfaces.exporter import DEFAULTS, ExportOptions
from hmpfit.records import Floats
from hmpfit.results.npz import StoredResult

if TYPE_CHECKING:
    from pxr import Usd

SUFFIXES = (".usd", ".usda", ".usdc")
_FOCAL_LENGTH_MM = 35.0  # free: the apertures follow from it and from K
_INFLUENCES = 4


def write(result: StoredResult, models: HandModels, out: Path, options: ExportOptions = DEFAULTS) -> list[Path]:
    """Write `out/hands.usdc`, or `out` itself if it ends in .usd, .usda or .usdc, and return it.

    `/hands/<hand>` is a SkelRoot with `skeleton`, `animation` and `mesh`; `/hands/camera` has K's focal length and
    principal point. MANO's pose correctives are left out, as in GLB. Raises MissingExtraError without usd-core.
    """
    try:
        from pxr import Sdf, Usd, UsdGeom
    except ModuleNotFoundError as error:
        raise MissingExtraError("--to usd", "pxr", "pip install usd-core (or hmpfit[animation])") from error
    file = out if out.suffix in SUFFIXES else out / "hands.usdc"
    file.parent.mkdir(parents=True, exist_ok=True)
    fps = frames_per_second(result)
    times = (result.tracks.times_s - result.tracks.times_s[0]) * fps
    layer = Sdf.Layer.CreateAnonymous(file.suffix)
    stage = Usd.Stage.Open(layer)
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    stage.SetTimeCodesPerSecond(fps)
    stage.SetFramesPerSecond(fps)
    stage.SetStartTimeCode(0)
    stage.SetEndTimeCode(float(times[-1]))
    stage.SetDefaultPrim(UsdGeom.Xform.Define(stage, "/hands").GetPrim())
    for hand in animate(result, models):
        _add_hand(stage, hand, times, options.bones)
    _add_camera(stage, result, times, options)
    layer.Export(str(file))
    return [file]


def _add_hand(stage: "Usd.Stage", hand: AnimatedHand, times: Floats, bones: str) -> None:
    from pxr import Gf, UsdSkel, Vt

    path = f"/hands/{hand.label}_hand"
    root = UsdSkel.Root.Define(stage, path)
    joints = _joint_paths(hand, bones)
    skeleton = UsdSkel.Skeleton.Define(stage, f"{path}/skeleton")
    animation = UsdSkel.Animation.Define(stage, f"{path}/animation")
    offsets = hand.rest - np.where(np.array(hand.parents)[:, None] >= 0, hand.rest[list(hand.parents)], 0)

    def placed(places: Floats) -> Any:
        return Vt.Matrix4dArray([Gf.Matrix4d().SetTranslate(Gf.Vec3d(*place.tolist())) for place in places])

    skeleton.CreateJointsAttr(joints)
    skeleton.CreateBindTransformsAttr(placed(hand.rest))
    skeleton.CreateRestTransformsAttr(placed(offsets))
    animation.CreateJointsAttr(joints)
    rotations, translations = _local(hand, offsets)
    turned, moved = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    animation.CreateScalesAttr(Vt.Vec3hArray([Gf.Vec3h(1, 1, 1)] * len(joints)))
    for frame, time in enumerate(times.tolist()):
        x, y, z, w = rotations[frame].T.tolist()
        turned.Set(Vt.QuatfArray([Gf.Quatf(*q) for q in zip(w, x, y, z, strict=True)]), time)
        moved.Set(Vt.Vec3fArray.FromNumpy(translations[frame].astype(np.float32)), time)
    for prim in (root.GetPrim(), skeleton.GetPrim()):
        UsdSkel.BindingAPI.Apply(prim)
    UsdSkel.BindingAPI(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    _add_mesh(stage, hand, f"{path}/mesh", skeleton.GetPath())


def _joint_paths(hand: AnimatedHand, bones: str) -> list[str]:
    paths: list[str] = []
    for name, parent in zip(hand.names, hand.parents, strict=True):
        own = bone_name(bones, hand.label, name)
        paths.append(own if parent < 0 else f"{paths[parent]}/{own}")
    return paths


def _local(hand: AnimatedHand, offsets: Floats) -> tuple[Floats, Floats]:
    """Return quaternions (x, y, z, w) [T, 21, 4] and translations [T, 21, 3] of every joint in its parent's frame."""
    frames, moving = hand.rotations.shape[:2]
    rotations = np.tile(np.eye(3), (frames, len(hand.names), 1, 1))
    rotations[:, :moving] = hand.rotations
    rotations[:, 0] = UPRIGHT_FROM_CAMERA @ rotations[:, 0]
    translations = np.tile(offsets, (frames, 1, 1))
    translations[:, 0] = hand.wrist @ UPRIGHT_FROM_CAMERA
    translations[:, moving:] = hand.tips
    quaternions = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_quat().reshape(frames, -1, 4)
    turned = np.sign((quaternions[1:] * quaternions[:-1]).sum(-1, keepdims=True))
    flips = np.cumprod(np.where(turned == 0, 1, turned), axis=0)
    return np.concatenate((quaternions[:1], quaternions[1:] * flips)), translations


def _add_mesh(stage: "Usd.Stage", hand: AnimatedHand, path: str, skeleton: Any) -> None:
    from pxr import Gf, UsdGeom, UsdSkel, Vt

    mesh = UsdGeom.Mesh.Define(stage, path)
    mesh.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(hand.rest_vertices.astype(np.float32)))
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray([3] * len(hand.faces)))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(hand.faces.astype(np.int32).reshape(-1)))
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateDisplayColorAttr([(0.80, 0.61, 0.51)])
    influences = np.argsort(-hand.weights, axis=1, kind="stable")[:, :_INFLUENCES]
    shares = np.take_along_axis(hand.weights, influences, axis=1)
    shares /= shares.sum(1, keepdims=True)
    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton])
    binding.CreateGeomBindTransformAttr(Gf.Matrix4d(1))
    binding.CreateJointIndicesPrimvar(False, _INFLUENCES).Set(
        Vt.IntArray.FromNumpy(influences.astype(np.int32).reshape(-1))
    )
    binding.CreateJointWeightsPrimvar(False, _INFLUENCES).Set(
        Vt.FloatArray.FromNumpy(shares.astype(np.float32).reshape(-1))
    )


def _add_camera(stage: "Usd.Stage", result: StoredResult, times: Floats, options: ExportOptions) -> None:
    """Add the clip's camera: the aperture's offsets carry the principal point, its sizes the focal lengths."""
    from pxr import Gf, UsdGeom

    view, camera = UsdGeom.Camera.Define(stage, "/hands/camera"), result.camera
    view.CreateFocalLengthAttr(_FOCAL_LENGTH_MM)
    view.CreateClippingRangeAttr(Gf.Vec2f(0.01, 100.0))
    view.CreateProjectionAttr(UsdGeom.Tokens.perspective)
    moving = len(camera.K) > 1
    for K, time in zip(camera.K, times.tolist()):
        at = (time,) if moving else ()
        to_mm = _FOCAL_LENGTH_MM / K[[0, 1], [0, 1]]
        view.CreateHorizontalApertureAttr().Set(float(camera.width * to_mm[0]), *at)
        view.CreateVerticalApertureAttr().Set(float(camera.height * to_mm[1]), *at)
        view.CreateHorizontalApertureOffsetAttr().Set(float((camera.width / 2 - K[0, 2]) * to_mm[0]), *at)
        view.CreateVerticalApertureOffsetAttr().Set(float((K[1, 2] - camera.height / 2) * to_mm[1]), *at)
    if options.frame == "camera":
        return
    place = view.AddTransformOp()
    poses = options.camera_poses(len(times))
    turned = UPRIGHT_FROM_CAMERA @ poses[:, :3, :3] @ UPRIGHT_FROM_CAMERA
    for frame, time in enumerate(times.tolist()):
        matrix = np.eye(4)
        matrix[:3, :3] = turned[frame].T  # USD's vectors are rows
        matrix[3, :3] = UPRIGHT_FROM_CAMERA @ poses[frame, :3, 3]
        place.Set(Gf.Matrix4d(matrix.tolist()), time)
