"""Every export is read by a library that did not write it, and must give the joints of the result."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import bvhio
import numpy as np
import pytest
import smplx
import torch
import trimesh
from click.testing import CliRunner
from smplx.utils import Struct

from hmpfit import registry
from hmpfit.command_line.export import export
from hmpfit.errors import InputError
from hmpfit.exporters.animation import UPRIGHT_FROM_CAMERA, animate, hand_labels, hand_vertices
from hmpfit.hands.model import HandModels
from hmpfit.results.matching import read_with_model
from hmpfit.results.npz import StoredResult, read_result
from hmpfit.skeleton import OPENPOSE_21, OPENPOSE_TO_MANO21
from tests.exported_cases import all_cases, camera_cases, make_case
from tests.made_result import two_hands
from tests.model_fixtures import mirrored_model, smplx_arrays, smplx_layer

FRAMES = 7
TENTH_MM = 1e-4


@pytest.fixture(scope="module")
def stored(models: HandModels) -> StoredResult:
    return two_hands(models, FRAMES)


@pytest.fixture
def folder(stored: StoredResult, models: HandModels, tmp_path: Path) -> Path:
    registry.load("exporters", "npz")(stored, models, tmp_path / "run")
    return tmp_path / "run"


def write(name: str, stored: StoredResult, models: HandModels, out: Path) -> list[Path]:
    files: list[Path] = registry.load("exporters", name)(stored, models, out)
    assert all(file.is_file() for file in files)
    return files


def test_every_exporter_writes_the_same_bytes_twice(stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    for name in registry.names("exporters"):
        if name in ("rrd", "robot", "smplx"):
            continue  # rerun stamps its files with the time of writing; the others need an option
        first = write(name, stored, models, tmp_path / "a" / name)
        second = write(name, stored, models, tmp_path / "b" / name)
        assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second], name


@all_cases
def test_bvh_read_by_bvhio(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    stored = case.result
    for hand, file in enumerate(case.write("bvh", tmp_path)):
        label = file.stem.removesuffix("_hand")
        root = bvhio.readAsHierarchy(str(file))
        assert bvhio.readAsBvh(str(file)).FrameTime == pytest.approx(1 / 30)
        for step in range(FRAMES):
            root.loadPose(step)
            places = {joint.Name: joint.PositionWorld for joint, _, _ in root.layout()}
            for joint, name in enumerate(OPENPOSE_21):
                place = places[f"{label}_{name}"]
                found = UPRIGHT_FROM_CAMERA @ [place.x, place.y, place.z]
                assert np.abs(found - stored.joints[hand, step, joint]).max() < TENTH_MM


def test_bvh_moves_tips_that_are_not_rigid(stored: StoredResult, models: HandModels, tmp_path: Path) -> None:
    joints = stored.joints.copy()
    joints[0, 3, OPENPOSE_21.index("index_tip")] += 0.001
    bent = StoredResult(**{**vars(stored), "joints": joints})
    text = write("bvh", bent, models, tmp_path)[0].read_text()
    assert text.count("CHANNELS 3 Xposition") == 1


@all_cases
def test_obj_read_by_trimesh(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    stored, models = case.result, case.models
    files = case.write("obj", tmp_path)
    assert len(files) == len(stored.joints) * FRAMES
    vertices = hand_vertices(stored, models)
    for number, file in enumerate(files):
        mesh = trimesh.load(file, process=False)
        hand, step = divmod(number, FRAMES)
        assert np.abs(mesh.vertices @ UPRIGHT_FROM_CAMERA - vertices[hand, step]).max() < TENTH_MM
        tips = stored.joints[hand, step, [OPENPOSE_21.index(f"{f}_tip") for f in ("thumb", "index")]]
        assert np.abs(mesh.vertices[models.right.tip_vertices[:2]] @ UPRIGHT_FROM_CAMERA - tips).max() < TENTH_MM
        mesh.vertices -= mesh.vertices.mean(axis=0)  # the wrist is open: a volume depends on the origin
        assert mesh.volume > 0  # faces look outwards on both sides


@all_cases
def test_glb_read_by_trimesh(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    stored, models = case.result, case.models
    (file,) = case.write("glb", tmp_path / "two.glb")
    scene = trimesh.load(file)
    assert {f"{label}_hand" for label in hand_labels(stored)} <= set(scene.geometry)
    for hand, label in enumerate(hand_labels(stored)):
        for joint, name in enumerate(OPENPOSE_21):  # the nodes stand in the first frame's pose
            place = scene.graph.get(f"{label}_{name}")[0][:3, 3]
            assert np.abs(UPRIGHT_FROM_CAMERA @ place - stored.joints[hand, 0, joint]).max() < TENTH_MM
        assert len(scene.geometry[f"{label}_hand"].faces) == len(models.right.faces)
        mesh = scene.geometry[f"{label}_hand"]
        mesh.vertices -= mesh.vertices.mean(axis=0)
        assert mesh.volume > 0


THREE = """
import fs from 'fs'; import * as THREE from 'three'; import validator from 'gltf-validator';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';
globalThis.self = globalThis;
const bytes = new Uint8Array(fs.readFileSync(process.argv[2]));
const { issues } = await validator.validateBytes(bytes);
new GLTFLoader().parse(bytes.buffer.slice(0, bytes.byteLength), '', ({ scene, animations }) => {
  const mixer = new THREE.AnimationMixer(scene), spot = new THREE.Vector3(), frames = [];
  const action = mixer.clipAction(animations[0]);
  action.setLoop(THREE.LoopOnce); action.clampWhenFinished = true; action.play();
  for (const time of JSON.parse(process.argv[3])) {
    mixer.setTime(time); scene.updateMatrixWorld(true);
    const found = { vertices: {} };
    scene.traverse(node => {
      if (!node.isSkinnedMesh) { found[node.name] = node.getWorldPosition(spot).toArray(); return; }
      node.skeleton.update();
      found.vertices[node.name] = [0, 500, 1000].map(i => node.getVertexPosition(i, spot).toArray());
    });
    frames.push(found);
  }
  console.log(JSON.stringify({ issues, frames }));
}, problem => { console.error(problem); process.exit(1); });
"""


@pytest.fixture(scope="module")
def three_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three.js, glTF's validator and the script that plays a GLB; skips where npm has neither."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("three_js")
    (folder / "play.mjs").write_text(THREE)
    install = subprocess.run(["npm", "install", "three", "gltf-validator"], cwd=folder, capture_output=True)
    if install.returncode:
        pytest.skip("npm cannot install three and gltf-validator here")
    return folder


@pytest.mark.slow
@all_cases
def test_glb_played_by_three_js_and_passed_by_the_validator(
    hands: str, frame: str, three_js: Path, tmp_path: Path
) -> None:
    case = make_case(hands, frame)
    stored, models = case.result, case.models
    (file,) = case.write("glb", tmp_path)
    times = json.dumps((stored.tracks.times_s - stored.tracks.times_s[0]).tolist())
    played = subprocess.run(
        ["node", "play.mjs", str(file), times], cwd=three_js, capture_output=True, check=True, text=True
    )
    found = json.loads(played.stdout)
    assert found["issues"]["numErrors"] == found["issues"]["numWarnings"] == 0
    vertices = hand_vertices(stored, models)
    for step, places in enumerate(found["frames"]):
        for hand, label in enumerate(hand_labels(stored)):
            joints = np.array([places[f"{label}_{name}"] for name in OPENPOSE_21]) @ UPRIGHT_FROM_CAMERA
            assert np.abs(joints - stored.joints[hand, step]).max() < TENTH_MM
            surface = np.array(places["vertices"][f"{label}_hand_mesh"]) @ UPRIGHT_FROM_CAMERA
            assert np.abs(surface - vertices[hand, step, [0, 500, 1000]]).max() < TENTH_MM


@all_cases
def test_amass_read_by_smplx(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    stored, models = case.result, case.models
    for hand, file in enumerate(case.write("amass", tmp_path)):
        with np.load(file) as read:
            body = {key: torch.as_tensor(read[key]) for key in ("poses", "trans", "betas")}
            assert read["mocap_framerate"] == pytest.approx(30)
            is_right = str(read["surface_model_type"]) == "mano_right"
        model = models.right if is_right else mirrored_model(models.right)
        posed = smplx_layer(model, is_right)(
            global_orient=body["poses"][:, :3],
            hand_pose=body["poses"][:, 3:],
            transl=body["trans"],
            betas=body["betas"].expand(FRAMES, -1),
        )
        expected = stored.joints[hand][:, OPENPOSE_TO_MANO21]
        assert np.abs(posed.joints[:, :16].numpy() - expected[:, :16]).max() < TENTH_MM
        assert np.abs(posed.vertices[:, models.right.tip_vertices].numpy() - expected[:, 16:]).max() < TENTH_MM


@camera_cases
def test_hamer_parameters_give_the_mirrored_right_hand(hands: str, tmp_path: Path) -> None:
    case = make_case(hands, "camera")
    stored, models = case.result, case.models
    (file,) = case.write("hamer", tmp_path)
    layer = smplx.MANOLayer("", data_struct=Struct(**smplx_arrays(models.right)), is_rhand=True, dtype=torch.float64)
    with np.load(file) as read:
        arrays = {key: read[key] for key in read.files}
    assert len(arrays["right"]) == len(stored.joints) * FRAMES
    posed = layer(**{key: torch.as_tensor(arrays[key]) for key in ("global_orient", "hand_pose", "betas")})
    side = np.where(arrays["right"][:, None, None] > 0, 1.0, [-1.0, 1.0, 1.0])
    tips = posed.vertices[:, list(models.right.tip_vertices)]
    joints = torch.cat((posed.joints[:, :16], tips), 1).numpy() * side + arrays["cam_t_full"][:, None]
    assert np.abs(joints - stored.joints[:, :, OPENPOSE_TO_MANO21].reshape(-1, 21, 3)).max() < TENTH_MM
    K = stored.camera.K[0]  # the hand in the image, from HaMeR's names alone
    pixels = joints[..., :2] / joints[..., 2:] * arrays["focal_length"][:, None, None]
    pixels += arrays["principal_point"][:, None]
    assert np.abs(pixels - stored.landmarks_px[:, :, OPENPOSE_TO_MANO21].reshape(-1, 21, 2)).max() < 0.01
    assert np.allclose(arrays["focal_length"], K[0, 0])


@all_cases
def test_csv_and_json_hold_the_joints(hands: str, frame: str, tmp_path: Path) -> None:
    case = make_case(hands, frame)
    stored = case.result
    (table,) = case.write("csv", tmp_path)
    with table.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(stored.joints) * FRAMES * 21
    places = np.array([[float(row[key]) for key in ("x_m", "y_m", "z_m")] for row in rows])
    assert np.abs(places.reshape(-1, FRAMES, 21, 3) - stored.joints).max() < TENTH_MM
    (text,) = case.write("json", tmp_path)
    read = json.loads(text.read_text())
    assert read["joint_names"] == list(OPENPOSE_21) and read["fps"] == pytest.approx(30)
    assert np.abs(np.array([hand["joints_m"] for hand in read["hands"]]) - stored.joints).max() < TENTH_MM


@camera_cases
def test_npz_copy_reads_back(hands: str, tmp_path: Path) -> None:
    case = make_case(hands, "camera")
    (file,) = case.write("npz", tmp_path)
    again = read_result(tmp_path)
    assert np.array_equal(again.motion.hand_pose, case.result.motion.hand_pose)
    with np.load(file, allow_pickle=False) as read:
        assert np.abs(read["joints"] - case.result.joints).max() < TENTH_MM
        assert read["is_right"].tolist() == case.result.motion.is_right.tolist()


def test_animation_chains_back_to_the_joints(stored: StoredResult, models: HandModels) -> None:
    for hand, moving in enumerate(animate(stored, models)):
        world, place = [moving.rotations[:, 0]], [moving.wrist]
        for joint in range(1, 16):
            parent = moving.parents[joint]
            place.append(place[parent] + world[parent] @ (moving.rest[joint] - moving.rest[parent]))
            world.append(world[parent] @ moving.rotations[:, joint])
        assert np.allclose(np.stack(place, 1), stored.joints[hand][:, OPENPOSE_TO_MANO21][:, :16], atol=1e-9)


def test_the_wrong_hand_model_is_refused(stored: StoredResult, folder: Path, models: HandModels) -> None:
    moved = StoredResult(**{**vars(stored), "joints": stored.joints + 0.002})
    registry.load("exporters", "npz")(moved, models, folder)
    with pytest.raises(InputError, match="another hand model"):
        read_with_model(folder, "open")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "fbx"], "Unknown exporter 'fbx'"),
        (["--to", "glb", "--to", "bvh", "-o", "x.glb"], "one file for 2 formats"),
        (["--to", "glb", "-o", "x.bvh"], "suffix"),
    ],
)
def test_wrong_arguments_are_named(folder: Path, arguments: list[str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        CliRunner().invoke(export, [str(folder), *arguments], catch_exceptions=False, standalone_mode=False)


def test_the_command_lists_its_files_as_json(folder: Path) -> None:
    done = CliRunner().invoke(export, [str(folder), "--to", "glb", "--to", "bvh", "--json"], catch_exceptions=False)
    files = json.loads(done.stdout)["files"]
    assert files["glb"] == [str(folder / "export" / "hands.glb")]
    assert len(files["bvh"]) == 2
