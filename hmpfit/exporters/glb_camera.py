"""The clip's camera in a GLB file, and its first frame as an image plane behind the hands."""

import logging

import numpy as np
import pygltflib as gltf

from hmpfit.errors import HmpfitError
from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA
from hmpfit.exporters.glb_document import GlbDocument, smooth_quaternions
from hmpfit.interfaces.exporter import ExportOptions
from hmpfit.records import Camera, Floats
from hmpfit.results.npz import StoredResult
from hmpfit.video.clip import open_clip

BEHIND = 1.25  # the image plane's distance, in that of the farthest joint
_NEAR_M = 0.01
_JPEG_QUALITY = 85
_LOG = logging.getLogger("hmpfit")


def add_camera(document: GlbDocument, result: StoredResult, options: ExportOptions) -> None:
    """Add a node `camera` that follows the clip's camera, its path in the world, and the image plane if any."""
    frames = len(result.tracks.times_s)
    poses, camera = options.camera_poses(frames), result.camera
    K = camera.K[0]
    turned = UPRIGHT_FROM_CAMERA @ poses[:, :3, :3] @ UPRIGHT_FROM_CAMERA
    rotations, places = smooth_quaternions(turned), poses[:, :3, 3] @ UPRIGHT_FROM_CAMERA
    perspective = gltf.Perspective(
        yfov=float(2 * np.arctan2(camera.height / 2, K[1, 1])),
        aspectRatio=float(camera.width / K[0, 0] * K[1, 1] / camera.height),
        znear=_NEAR_M,
    )
    document.file.cameras.append(gltf.Camera(name="camera", type="perspective", perspective=perspective))
    node = len(document.file.nodes)
    document.file.nodes.append(
        gltf.Node(
            name="camera",
            camera=len(document.file.cameras) - 1,
            rotation=rotations[0].tolist(),
            translation=places[0].tolist(),
            children=[],
        )
    )
    document.file.scenes[0].nodes.append(node)
    if options.frame != "camera":
        document.animate(node, "rotation", rotations)
        document.animate(node, "translation", places)
        _add_path(document, places)
    image = _first_image(options)
    if image is not None:
        document.file.nodes[node].children.append(_add_plane(document, camera, _distance(result, poses), image))


def _add_path(document: GlbDocument, places: Floats) -> None:
    """Draw the camera's path as a line through its places [T, 3], upright axes."""
    file = document.file
    line = gltf.Attributes(
        POSITION=document.store(places.astype(np.float32), gltf.VEC3, gltf.ARRAY_BUFFER, bounds=True)
    )
    file.meshes.append(gltf.Mesh(name="camera_path", primitives=[gltf.Primitive(attributes=line, mode=3)]))
    file.nodes.append(gltf.Node(name="camera_path", mesh=len(file.meshes) - 1))
    file.scenes[0].nodes.append(len(file.nodes) - 1)


def plane_corners(camera: Camera, distance_m: float) -> Floats:
    """Return the image's corners [4, 3] at a distance, in glTF's camera axes: top left, top right, bottom right, left.

    The principal point decides where the plane lies, so that it is right even where it is not in the middle.
    """
    width, height = camera.width, camera.height
    pixels = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], dtype=float)
    return distance_m * pixels @ np.linalg.inv(camera.K[0]).T @ UPRIGHT_FROM_CAMERA


def _distance(result: StoredResult, poses: Floats) -> float:
    depths = np.einsum("tj,htkj->htk", poses[:, :3, 2], result.joints - poses[:, None, :3, 3])
    return BEHIND * max(float(depths.max()), 0.1)


def _first_image(options: ExportOptions) -> bytes | None:
    """Return the clip's first frame as JPEG; None, with a warning, when there is no clip to read."""
    if options.video is None:
        return None
    import cv2

    try:
        clip = open_clip(options.video, (options.first_frame, options.first_frame + 1), mirrored=options.mirrored)
        _, image = next(clip.images())
    except HmpfitError as error:
        _LOG.warning("the GLB has no image plane: %s", error)
        return None
    packed, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return data.tobytes() if packed else None


def _add_plane(document: GlbDocument, camera: Camera, distance_m: float, image: bytes) -> int:
    file = document.file
    file.images.append(gltf.Image(name="first_frame", mimeType="image/jpeg", bufferView=document.store_bytes(image)))
    file.samplers.append(gltf.Sampler())
    file.textures.append(gltf.Texture(source=len(file.images) - 1, sampler=len(file.samplers) - 1))
    file.materials.append(
        gltf.Material(
            name="image_plane",
            pbrMetallicRoughness=gltf.PbrMetallicRoughness(
                baseColorTexture=gltf.TextureInfo(index=len(file.textures) - 1), metallicFactor=0.0, roughnessFactor=1.0
            ),
            extensions={"KHR_materials_unlit": {}},
            doubleSided=True,
            alphaCutoff=None,
        )
    )
    file.extensionsUsed.append("KHR_materials_unlit")
    corners = plane_corners(camera, distance_m).astype(np.float32)
    attributes = gltf.Attributes(
        POSITION=document.store(corners, gltf.VEC3, gltf.ARRAY_BUFFER, bounds=True),
        TEXCOORD_0=document.store(np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32), gltf.VEC2, gltf.ARRAY_BUFFER),
    )
    triangles = np.array([[0], [3], [2], [0], [2], [1]], np.uint32)
    indices = document.store(triangles, gltf.SCALAR, gltf.ELEMENT_ARRAY_BUFFER)
    primitive = gltf.Primitive(attributes=attributes, indices=indices, material=len(file.materials) - 1)
    file.meshes.append(gltf.Mesh(name="image_plane", primitives=[primitive]))
    file.nodes.append(gltf.Node(name="image_plane", mesh=len(file.meshes) - 1))
    return len(file.nodes) - 1
