"""The protocols against plain loops that follow the official scripts' definitions, sample by sample."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from hmpfit.errors import InputError
from hmpfit.evaluation import measures, penetration, single_hand, two_hands
from hmpfit.evaluation import score_submission as submissions
from hmpfit.evaluation.alignments import procrustes_aligned
from hmpfit.evaluation.missing_frames import fill_missing_frames, neutral_hand
from hmpfit.evaluation.tables import Table, mean_of
from hmpfit.hands.model_files import load_hand_models
from hmpfit.skeleton import MANO21_TO_OPENPOSE

GENERATOR = np.random.default_rng(11)
SAMPLES = 9
Pairs = list[tuple[np.ndarray, np.ndarray]]


def draw(*shape: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    true = GENERATOR.normal(scale=0.05, size=(SAMPLES, *shape)) + np.array([0.1, 0.0, 0.6])
    return true, true + GENERATOR.normal(scale=noise, size=true.shape)


TRUE, FOUND = draw(21, 3, noise=0.012)
TRUE_MESH, MESH = draw(60, 3, noise=0.006)
HANDS_TRUE, HANDS = draw(2, 21, 3, noise=0.01)
MESHES_TRUE, MESHES = draw(2, 30, 3, noise=0.01)
VALID = GENERATOR.random((SAMPLES, 2, 21)) > 0.2
INTERACTING = np.arange(SAMPLES) % 2 == 0


def norm(vector: np.ndarray) -> float:
    return float(np.sqrt((vector**2).sum()))


def loop_pa(target: np.ndarray, points: np.ndarray) -> np.ndarray:
    """One sample, as HO3D, FreiHAND and DexYCB align it."""
    goal, source = target - target.mean(0), points - points.mean(0)
    goal_size, size = np.linalg.norm(goal) + 1e-8, np.linalg.norm(source) + 1e-8
    turn, stretch = orthogonal_procrustes(goal / goal_size, source / size)
    return np.asarray((source / size) @ turn.T * stretch * goal_size + target.mean(0))


def loop_sc_tr(target: np.ndarray, points: np.ndarray) -> np.ndarray:
    """One sample in MANO-21 order, as HO3D scales and moves it: joint 4 is the middle MCP."""
    scaled = points / norm(points[4] - points[0]) * norm(target[4] - target[0])
    return np.asarray(scaled - scaled[0] + target[0])


def loop_epe(pairs: Pairs) -> tuple[float, float]:
    """Mean error, and area under the PCK curve, joint by joint."""
    thresholds = np.linspace(0, 0.05, 100)
    means, areas = [], []
    for joint in range(len(pairs[0][0])):
        errors = np.array([norm(true[joint] - found[joint]) for true, found in pairs])
        curve = np.array([np.mean((errors <= threshold).astype(float)) for threshold in thresholds])
        means.append(errors.mean())
        areas.append(float(((curve[1:] + curve[:-1]) / 2 * np.diff(thresholds)).sum()))
    return float(np.mean(means)), float(np.mean(areas)) / 0.05


def loop_f(true: np.ndarray, found: np.ndarray, threshold: float) -> float:
    apart = np.linalg.norm(true[:, None] - found[None], axis=-1)
    recall, precision = (apart.min(1) < threshold).mean(), (apart.min(0) < threshold).mean()
    return float(2 * recall * precision / (recall + precision)) if recall + precision > 0 else 0.0


def test_ho3d_agrees_with_the_loops() -> None:
    scores = single_hand.ho3d(FOUND, TRUE, MESH, TRUE_MESH)
    back = np.argsort(MANO21_TO_OPENPOSE)  # the official arrays are in MANO-21 order
    joints, meshes = list(zip(TRUE[:, back], FOUND[:, back])), list(zip(TRUE_MESH, MESH))
    forms = {
        "joint": joints,
        "joint_sc_tr": [(t, loop_sc_tr(t, f)) for t, f in joints],
        "joint_pa": [(t, loop_pa(t, f)) for t, f in joints],
        "vertex": meshes,
        "vertex_pa": [(t, loop_pa(t, f)) for t, f in meshes],
    }
    for name, pairs in forms.items():
        error, area = loop_epe(pairs)
        assert scores[f"ho3d_{name}_error_cm"] == pytest.approx(100 * error, rel=1e-9)
        assert scores[f"ho3d_{name}_auc"] == pytest.approx(area, rel=1e-9)
    for threshold in (5, 15):
        for name, form in (("", "vertex"), ("_pa", "vertex_pa")):
            expected = np.mean([loop_f(t, f, threshold / 1000) for t, f in forms[form]])
            assert scores[f"ho3d_f{name}_at_{threshold}mm"] == pytest.approx(expected, rel=1e-9)


def test_freihand_is_ho3d_without_the_alignments_by_bone_and_wrist() -> None:
    ho3d, freihand = (protocol(FOUND, TRUE, MESH, TRUE_MESH) for protocol in (single_hand.ho3d, single_hand.freihand))
    without = {
        key.removeprefix("ho3d_"): value for key, value in ho3d.items() if "sc_tr" not in key and "wrist" not in key
    }
    assert {key.removeprefix("freihand_"): value for key, value in freihand.items()} == without


def test_dexycb_leaves_out_absent_hands_and_counts_millimetres() -> None:
    true = TRUE.copy()
    true[3] = -1
    scores = single_hand.dexycb(FOUND, true)
    pairs = [(TRUE[i], FOUND[i]) for i in range(SAMPLES) if i != 3]
    assert scores["dexycb_samples"] == SAMPLES - 1
    absolute, area = loop_epe(pairs)
    assert scores["dexycb_absolute_mpjpe_mm"] == pytest.approx(1000 * absolute)
    assert scores["dexycb_absolute_auc"] == pytest.approx(area)
    rooted, _ = loop_epe([(t - t[0], f - f[0]) for t, f in pairs])
    assert scores["dexycb_root_relative_mpjpe_mm"] == pytest.approx(1000 * rooted)
    aligned, _ = loop_epe([(t, loop_pa(t, f)) for t, f in pairs])
    assert scores["dexycb_procrustes_mpjpe_mm"] == pytest.approx(1000 * aligned)


def test_reflection_is_an_option() -> None:
    mirrored = TRUE * [-1, 1, 1]
    assert np.abs(procrustes_aligned(mirrored, TRUE) - TRUE).max() < 1e-6
    assert np.abs(procrustes_aligned(mirrored, TRUE, reflection=False) - TRUE).max() > 0.01


def rooted_error(s: int, hand: int, joint: int) -> float:
    found, true = HANDS[s, hand], HANDS_TRUE[s, hand]
    return norm((found[joint] - found[0]) - (true[joint] - true[0]))


def test_interhand_agrees_with_the_loops() -> None:
    scores = two_hands.interhand(HANDS, HANDS_TRUE, VALID, INTERACTING)
    for name, picked in (("single", ~INTERACTING), ("interacting", INTERACTING), ("all", INTERACTING | True)):
        joints = []
        for hand in range(2):
            for joint in range(21):
                samples = [s for s in range(SAMPLES) if picked[s] and VALID[s, hand, joint] and VALID[s, hand, 0]]
                joints += [np.mean([rooted_error(s, hand, joint) for s in samples])] if samples else []
        assert scores[f"interhand_mpjpe_{name}_mm"] == pytest.approx(1000 * np.mean(joints))
    both = [s for s in range(SAMPLES) if INTERACTING[s] and VALID[s, :, 0].all()]
    roots = [norm((HANDS[s, 1, 0] - HANDS[s, 0, 0]) - (HANDS_TRUE[s, 1, 0] - HANDS_TRUE[s, 0, 0])) for s in both]
    assert scores["interhand_mrrpe_mm"] == pytest.approx(1000 * np.mean(roots))


def test_intaghand_roots_at_the_middle_mcp_and_scales_the_metacarpal() -> None:
    same = two_hands.intaghand(1.4 * HANDS_TRUE + 0.3, HANDS_TRUE, 1.4 * MESHES_TRUE + 0.3, MESHES_TRUE)
    assert same["mpjpe_mcp9_scaled_mm"] == pytest.approx(0, abs=1e-9)
    assert same["mpvpe_mcp9_scaled_mm"] == pytest.approx(0, abs=1e-9)
    errors = []
    for s in range(SAMPLES):
        for hand in range(2):
            found, true = HANDS[s, hand] - HANDS[s, hand, 9], HANDS_TRUE[s, hand] - HANDS_TRUE[s, hand, 9]
            errors.append(np.linalg.norm(found * norm(true[0]) / norm(found[0]) - true, axis=-1).mean())
    assert two_hands.intaghand(HANDS, HANDS_TRUE)["mpjpe_mcp9_scaled_mm"] == pytest.approx(1000 * np.mean(errors))


def test_hic_agrees_with_the_loops() -> None:
    true = MESHES_TRUE.copy()
    true[2, 1] = np.nan
    scores = two_hands.hic(HANDS, HANDS_TRUE, MESHES, true, INTERACTING)
    each, relative = [], []
    for s in np.flatnonzero(INTERACTING):
        for hand in range(2):
            if np.isfinite(true[s, hand]).all():
                apart = (MESHES[s, hand] - HANDS[s, hand, 0]) - (true[s, hand] - HANDS_TRUE[s, hand, 0])
                each.append(np.linalg.norm(apart, axis=-1).mean())
        if s != 2:
            apart = (MESHES[s] - HANDS[s, 0, 0]) - (true[s] - HANDS_TRUE[s, 0, 0])
            relative.append(np.linalg.norm(apart, axis=-1).mean())
    assert scores["hic_mpvpe_interacting_mm"] == pytest.approx(1000 * np.mean(each))
    assert scores["hic_rrve_mm"] == pytest.approx(1000 * np.mean(relative))


def test_arctic_agrees_with_the_loops() -> None:
    valid = np.ones((SAMPLES, 2), dtype=bool)
    valid[4, 0] = valid[7] = False
    scores = two_hands.arctic(HANDS, HANDS_TRUE, MESHES, MESHES_TRUE, valid)
    frames, hands = [], []
    for t in range(SAMPLES):
        each = [np.mean([rooted_error(t, h, j) for j in range(21)]) for h in range(2) if valid[t, h]]
        frames += [np.mean(each)] if each else []
    for t in range(1, SAMPLES - 1):
        errors = []
        for h in range(2):
            if valid[t - 1 : t + 2, h].all():
                moving = [m[:, h] - j[:, h, :1] for m, j in ((MESHES, HANDS), (MESHES_TRUE, HANDS_TRUE))]
                second = [(m[t - 1] - 2 * m[t] + m[t + 1]) * 30 * 30 for m in moving]
                errors.append(np.linalg.norm(second[0] - second[1], axis=-1).mean())
        hands += [np.mean(errors)] if errors else []
    assert scores["arctic_mpjpe_ra_mm"] == pytest.approx(1000 * np.mean(frames))
    assert scores["arctic_acc_m_per_s2"] == pytest.approx(np.mean(hands))


@pytest.mark.parametrize(("name", "root"), [("stc", 9), ("stc_wrist", 0)])
def test_stc_agrees_with_the_loops(name: str, root: int) -> None:
    valid = np.ones((SAMPLES, 2), dtype=bool)
    valid[5, 1] = False
    scores = two_hands.stc(HANDS, HANDS_TRUE, valid, MESHES, MESHES_TRUE)
    chosen = [(t, h) for t in range(SAMPLES) for h in range(2) if valid[t, h]]
    joints, surface, accelerations = [], [], []
    for t, h in chosen:
        mine, true = HANDS[t, h] - HANDS[t, h, root], HANDS_TRUE[t, h] - HANDS_TRUE[t, h, root]
        joints += [np.linalg.norm(mine[j] - true[j]) for j in range(21)]
        apart = (MESHES[t, h] - HANDS[t, h, root]) - (MESHES_TRUE[t, h] - HANDS_TRUE[t, h, root])
        surface.append(np.linalg.norm(apart, axis=-1).mean())
    for h in range(2):
        for t in range(1, SAMPLES - 1):
            if valid[t - 1 : t + 2, h].all():
                parts = [p[:, h] - p[:, h, root, None] for p in (HANDS, HANDS_TRUE)]
                second = [p[t - 1] - 2 * p[t] + p[t + 1] for p in parts]
                accelerations.append(np.linalg.norm(second[0] - second[1], axis=-1))
    assert scores[f"{name}_mpjpe_mm"] == pytest.approx(1000 * np.mean(joints))
    assert scores[f"{name}_pck_at_20mm"] == pytest.approx(np.mean(np.array(joints) <= 0.02))
    assert scores[f"{name}_accel_e_mm_per_frame2"] == pytest.approx(1000 * np.mean(accelerations))
    assert scores[f"{name}_mpvpe_mm"] == pytest.approx(1000 * np.mean(surface))


def test_a_hand_without_a_valid_wrist_counts_nowhere_in_interhand() -> None:
    valid = np.ones((SAMPLES, 2, 21), dtype=bool)
    valid[3, 0, 0] = False
    corrupted = HANDS.copy()
    corrupted[3, 0] += GENERATOR.normal(size=(21, 3))
    both = [two_hands.interhand(hands, HANDS_TRUE, valid, INTERACTING) for hands in (HANDS, corrupted)]
    assert both[0] == both[1]


def test_penetration_is_told_on_open_and_closed_meshes() -> None:
    import trimesh

    ball = trimesh.creation.icosphere(3, 0.05)
    vertices, faces = np.asarray(ball.vertices), np.asarray(ball.faces)
    points = np.array([[0.03, 0, 0], [0.06, 0, 0], [0, 0, 0.049]])
    opened = faces[vertices[faces][..., 2].mean(1) > -0.045]  # a hole like a wrist's
    assert len(opened) < len(faces)
    for kept in (faces, opened, faces[:, ::-1]):
        assert penetration.penetration_depths(points[None], vertices[None], kept)[0] == pytest.approx(0.02, abs=5e-4)
    apart = np.broadcast_to(points[1], (1, 3))
    both = np.stack([points[:1], apart])
    assert penetration.mmpd_mm(both, np.stack([vertices] * 2), faces) == pytest.approx(10.0, abs=0.3)
    assert np.isnan(penetration.mmpd_mm(both[:0], vertices[None][:0], faces))


def test_middle_knuckle_and_wrist_with_and_without_scale() -> None:
    scores = two_hands.intaghand(HANDS, HANDS_TRUE, MESHES, MESHES_TRUE)
    for name, root in (("mcp9", 9), ("wrist", 0)):
        plain, scaled = [], []
        for t in range(SAMPLES):
            for h in range(2):
                found, true = HANDS[t, h] - HANDS[t, h, root], HANDS_TRUE[t, h] - HANDS_TRUE[t, h, root]
                length, goal = (np.linalg.norm(part[9] - part[0]) for part in (HANDS[t, h], HANDS_TRUE[t, h]))
                plain += [np.linalg.norm(found[j] - true[j]) for j in range(21)]
                scaled += [np.linalg.norm(found[j] * goal / length - true[j]) for j in range(21)]
        assert scores[f"mpjpe_{name}_mm"] == pytest.approx(1000 * np.mean(plain))
        assert scores[f"mpjpe_{name}_scaled_mm"] == pytest.approx(1000 * np.mean(scaled))
    errors = [rooted_error(t, h, j) for t in range(SAMPLES) for h in range(2) for j in range(21)]
    valid = np.ones((SAMPLES, 2), dtype=bool)
    pck = two_hands.stc(HANDS, HANDS_TRUE, valid)["stc_wrist_pck_at_20mm"]
    assert pck == pytest.approx(np.mean(np.array(errors) <= 0.02)) and 0 < pck < 1


def submit(folder: Path, joints: np.ndarray, meshes: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pred.json").write_text(json.dumps([joints.tolist(), meshes.tolist()]))
    with zipfile.ZipFile(folder / "pred.zip", "w") as archive:
        archive.write(folder / "pred.json", "pred.json")
    return folder / "pred.json"


def test_submissions_score_like_their_arrays(tmp_path: Path) -> None:
    for name, values in (("xyz", TRUE), ("verts", TRUE_MESH)):
        (tmp_path / f"evaluation_{name}.json").write_text(json.dumps(values.tolist()))
    file = submit(tmp_path / "sent", FOUND, MESH)
    order = list(MANO21_TO_OPENPOSE)
    expected = single_hand.ho3d(FOUND[:, order], TRUE[:, order], MESH, TRUE_MESH)
    for path in (file, file.with_suffix(".zip")):
        scores, count = submissions.score_submission(path, tmp_path, "ho3d")
        assert count == SAMPLES and scores == pytest.approx(expected, rel=1e-12)
    scores, _ = submissions.score_submission(file, tmp_path, "freihand")
    assert scores == pytest.approx(single_hand.freihand(FOUND, TRUE, MESH, TRUE_MESH), rel=1e-12)
    short = submit(tmp_path / "short", FOUND[:4], MESH[:4])
    with pytest.raises(InputError, match=r"predicts 4 samples .* has 9"):
        submissions.score_submission(short, tmp_path, "ho3d")
    with pytest.raises(InputError, match="not for 'arctic'"):
        submissions.score_submission(file, tmp_path, "arctic")


def test_dexycb_lines_leave_out_what_is_not_annotated(tmp_path: Path) -> None:
    true = np.where(np.arange(SAMPLES)[:, None, None] == 3, -1.0, TRUE * 1000)
    for name, values in (("found", FOUND * 1000), ("true", true)):
        rows = [",".join([str(7 * i), *map(repr, map(float, one.ravel()))]) for i, one in enumerate(values)]
        (tmp_path / f"{name}.txt").write_text("\n".join(rows) + "\n")
    scores, count = submissions.score_submission(tmp_path / "found.txt", tmp_path / "true.txt", "dexycb")
    picked = np.arange(SAMPLES) != 3
    assert count == SAMPLES - 1
    assert scores == pytest.approx(single_hand.dexycb(FOUND[picked], TRUE[picked]))
    (tmp_path / "few.txt").write_text((tmp_path / "found.txt").read_text().splitlines()[0])
    with pytest.raises(InputError, match="lacks 7 annotated images, the first of them 7"):
        submissions.score_submission(tmp_path / "few.txt", tmp_path / "true.txt", "dexycb")


def test_means_and_curves_leave_out_what_is_not_valid() -> None:
    errors, valid = np.array([[0.01, 9.0], [0.03, 0.02]]), np.array([[True, False], [True, True]])
    assert measures.mean_over_points(errors, valid) == pytest.approx(0.02)
    assert measures.share_within(errors, 0.02, valid) == pytest.approx(0.75)
    assert measures.area_under_curve(np.zeros((3, 2)), 0, 0.05, 100) == pytest.approx(1.0)


def test_a_frame_without_an_estimate_is_charged_with_a_neutral_hand() -> None:
    joints, _ = neutral_hand(load_hand_models("open"), True)
    assert np.allclose(joints[0], 0) and np.abs(joints).max() > 0.1
    found = TRUE.copy()
    found[[0, 4]] = np.nan
    filled, coverage = fill_missing_frames(found, joints, TRUE[:, 0])
    assert coverage == pytest.approx(1 - 2 / SAMPLES)
    assert np.allclose(filled[4], joints + TRUE[3, 0]) and np.allclose(filled[0], joints + TRUE[1, 0])
    assert np.allclose(filled[1], TRUE[1])
    nothing, coverage = fill_missing_frames(np.full_like(TRUE, np.nan), joints, TRUE[:, 0])
    assert coverage == 0 and np.isfinite(nothing).all()


def test_tables_are_the_same_numbers_in_every_form() -> None:
    table = Table("t", ("a", "b"), (("x", {"a": 1.5, "b": None}), ("y", {"a": float("nan"), "b": 0.25})), {"z": "no"})
    assert table.cells() == [["x", "1.50", "–"], ["y", "–", "0.25"]]
    assert "| x | 1.50 | – |" in table.markdown() and "- z: no" in table.markdown()
    assert table.csv().splitlines()[1] == "x,1.5,"
    assert table.plain()["rows"]["y"] == {"a": None, "b": 0.25}
    assert mean_of([{"a": 1.0}, {"a": 3.0, "b": 2.0}, {"a": float("nan")}], [3, 1, 5]) == {"a": 1.5, "b": 2.0}
