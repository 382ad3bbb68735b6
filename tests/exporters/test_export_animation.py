"""Animation files with camera and bone names: GLB by trimesh, USD by its own library, all of them by Blender."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh

from hmpfit.errors import UnknownNameError
from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, hand_labels, hand_vertices
from hmpfit.exporters.bone_names import bone_name
from hmpfit.exporters.dataset_layouts import arkit_name
from hmpfit.exporters.glb_camera import plane_corners
from hmpfit.exporters.openxr import OPENXR_26
from hmpfit.skeleton import MANO_21, MANO_JOINTS, OPENPOSE_21
from hmpfit.video.writer import VideoWriter
from tests.exported_cases import FRAMES, TENTH_MM, Case, all_cases, make_case


def with_clip(case: Case, path: Path) -> Case:
    """Give a case a clip of its size whose left half is red and whose right half is blue."""
    image = np.zeros((480, 640, 3), np.uint8)
    image[:, :320, 0], image[:, 320:, 2] = 255, 255
    with VideoWriter(path, 30, 640, 480) as video:
        for _ in range(FRAMES):
            video.write(image)
    return replace(case, options=replace(case.options, video=path))


def off_center(case: Case) -> Case:
    """Move a case's principal point away from the middle of the image; nothing else changes."""
    K = case.result.camera.K + np.array([[0, 0, 37.0], [0, 0, -21.0], [0, 0, 0]])
    pixels = case.result.landmarks_px + np.array([37.0, -21.0])
    result = replace(case.result, camera=replace(case.result.camera, K=K), landmarks_px=pixels)
    return replace(case, result=result)


@all_cases
def test_the_glb_camera_sees_the_hands_where_the_clip_did(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    (file,) = case.write("glb", tmp_path)
    scene = trimesh.load(file)
    matrix, _ = scene.graph.get("camera")
    lens = pygltflib.GLTF2().load(str(file)).cameras[0].perspective
    for hand, label in enumerate(hand_labels(case.result)):
        for joint, name in enumerate(OPENPOSE_21):
            place = scene.graph.get(f"{label}_{name}")[0][:, 3]
            assert np.abs(UPRIGHT_FROM_CAMERA @ place[:3] - case.result.joints[hand, 0, joint]).max() < TENTH_MM
            x, y, z, _ = np.linalg.inv(matrix) @ place
            half = np.tan(lens.yfov / 2)
            pixel = [320 + 240 * x / -z / half / lens.aspectRatio * 640 / 480, 240 - 240 * y / -z / half]
            assert np.abs(pixel - case.result.landmarks_px[hand, 0, joint]).max() < 0.1


@pytest.mark.parametrize("frame", ["camera", "world"])
def test_the_image_plane_hangs_where_the_pixels_are(frame: str, tmp_path: Path) -> None:
    case = off_center(with_clip(make_case("two", frame), tmp_path / "clip.mp4"))
    (file,) = case.write("glb", tmp_path)
    scene = trimesh.load(file)
    camera, (plane, name) = scene.graph.get("camera")[0], scene.graph.get("image_plane")
    mesh = scene.geometry[name]
    corners = mesh.vertices @ plane[:3, :3].T + plane[:3, 3]
    seen = (corners - camera[:3, 3]) @ camera[:3, :3] @ UPRIGHT_FROM_CAMERA  # in the clip's camera
    pixels = seen @ case.result.camera.K[0].T
    assert np.allclose(pixels[:, :2] / pixels[:, 2:], [[0, 0], [640, 0], [640, 480], [0, 480]], atol=0.01)
    assert np.allclose(mesh.visual.uv, [[0, 1], [1, 1], [1, 0], [0, 0]])  # trimesh counts v from below
    picture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    assert picture.shape == (480, 640, 3) and picture[240, 100, 0] > 200 and picture[240, 500, 2] > 200
    depths = case.result.joints[..., 2] if frame == "camera" else make_case("two", "camera").result.joints[..., 2]
    assert (seen[:, 2] > depths.max()).all()
    assert np.allclose(plane_corners(case.result.camera, 1.0)[:, 2], -1)


@all_cases
def test_usd_read_by_usdskel(hands: str, frame: str, tmp_path: Path) -> None:
    Usd = pytest.importorskip("pxr.Usd")
    from pxr import Gf, UsdGeom, UsdSkel

    case = off_center(make_case(hands, frame))
    (file,) = case.write("usd", tmp_path)
    stage = Usd.Stage.Open(str(file))
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    assert stage.GetTimeCodesPerSecond() == pytest.approx(30) and stage.GetEndTimeCode() == pytest.approx(FRAMES - 1)
    cache, vertices = UsdSkel.Cache(), hand_vertices(case.result, case.models)
    lens = UsdGeom.Camera(stage.GetPrimAtPath("/hands/camera"))
    for hand, label in enumerate(hand_labels(case.result)):
        root = UsdSkel.Root(stage.GetPrimAtPath(f"/hands/{label}_hand"))
        cache.Populate(root, Usd.PrimDefaultPredicate)
        query = cache.GetSkelQuery(UsdSkel.Skeleton(stage.GetPrimAtPath(f"/hands/{label}_hand/skeleton")))
        order = [path.rpartition("/")[2].removeprefix(f"{label}_") for path in query.GetJointOrder()]
        skinned = cache.GetSkinningQuery(stage.GetPrimAtPath(f"/hands/{label}_hand/mesh"))
        for step in range(FRAMES):
            places = np.array(query.ComputeJointSkelTransforms(step))[:, 3, :3] @ UPRIGHT_FROM_CAMERA
            found = places[[order.index(name) for name in OPENPOSE_21]]
            assert np.abs(found - case.result.joints[hand, step]).max() < TENTH_MM
            points = UsdGeom.Mesh(skinned.GetPrim()).GetPointsAttr().Get()
            assert skinned.ComputeSkinnedPoints(query.ComputeSkinningTransforms(step), points, step)
            assert np.abs(np.array(points) @ UPRIGHT_FROM_CAMERA - vertices[hand, step]).max() < TENTH_MM
            frustum = lens.GetCamera(step).frustum
            seen = frustum.ComputeViewMatrix() * frustum.ComputeProjectionMatrix()
            corner = seen.Transform(Gf.Vec3d(*(UPRIGHT_FROM_CAMERA @ case.result.joints[hand, step, 8]).tolist()))
            pixel = [320 + 320 * corner[0], 240 - 240 * corner[1]]
            assert np.abs(pixel - case.result.landmarks_px[hand, step, 8]).max() < 0.01


@pytest.mark.parametrize("style", ["vrm", "arkit"])
def test_bones_have_the_names_of_vrm_and_arkit(style: str, tmp_path: Path) -> None:
    case = make_case("three", "camera")
    case = replace(case, options=replace(case.options, bones=style))
    (file,) = case.write("glb", tmp_path)
    nodes = {node.name for node in pygltflib.GLTF2().load(str(file)).nodes}
    usual = {
        "vrm": {"rightHand", "rightThumbMetacarpal", "leftLittleDistal", "leftIndexIntermediate"},
        "arkit": {"rightHand", "rightThumbKnuckle", "leftLittleFingerIntermediateTip", "leftIndexFingerKnuckle"},
    }
    assert usual[style] <= nodes and {bone_name(style, "right2", name) for name in MANO_21} <= nodes
    text = case.write("bvh", tmp_path)[0].read_text()
    assert all(f"JOINT {bone_name(style, 'right', name)}" in text for name in MANO_21[1:])
    assert len({bone_name(style, "left", name) for name in MANO_21}) == 21
    with pytest.raises(UnknownNameError, match="arkit, mano, vrm"):
        bone_name("fbx", "left", "wrist")


def test_arkits_names_are_those_of_the_egodex_layout() -> None:
    layout = {arkit_name(name, "left") for name in OPENXR_26} - {None}
    assert {bone_name("arkit", "left", name) for name in (*MANO_JOINTS, "index_tip")} <= layout
