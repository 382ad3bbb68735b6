"""HandDGCL: the graphs of any hand's mesh, parameter count, convolutions and losses against plain loops, the pool."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from hmpfit.geometry import rotations
from hmpfit.hands.model import HandModels
from hmpfit.hands.model_files import load_hand_models
from hmpfit.regressors.handdgcl import contrast, losses
from hmpfit.regressors.handdgcl.chebyshev import Chebyshev
from hmpfit.regressors.handdgcl.disturbance import Disturbance, scaled_laplacian
from hmpfit.regressors.handdgcl.graph_unet import GraphUNet, pooled_graph
from hmpfit.regressors.handdgcl.hierarchy import COARSEST_NODES, build_hierarchy, laplacian
from hmpfit.regressors.handdgcl.network import METACARPAL_M, HandDgcl, Meshes, MeshJoints, project_weakly
from hmpfit.regressors.handdgcl.switches import ABLATIONS, SIZES
from hmpfit.skeleton import BONES, OPENPOSE_MIDDLE_MCP, OPENPOSE_WRIST
from tests.model_fixtures import invented_left, invented_model

SMALL = replace(SIZES["small"], queue=6, dropout=0.0)


def draw(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.fixture(scope="module")
def network(models: HandModels) -> HandDgcl:
    return HandDgcl(SMALL, models)


@pytest.fixture(scope="module")
def labels() -> losses.HandDgclLabels:
    return losses.HandDgclLabels(
        draw(3, 2, 21, 3, scale=0.1), draw(3, 2, 1609, 3, seed=1, scale=0.1), draw(3, 2, 21, 2, seed=2).sigmoid(),
        torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
        rotations.exp(draw(3, 2, 3, seed=3)),
    )  # fmt: skip


def sphere(rings: int = 26, sectors: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """A closed mesh of 752 vertices, about as many as MANO's 778."""
    polar = np.linspace(0, np.pi, rings + 1)[1:-1]
    around = np.arange(sectors) * 2 * np.pi / sectors
    grid = np.stack([np.stack([np.sin(p) * np.cos(around), np.sin(p) * np.sin(around), np.full(sectors, np.cos(p))], 1)
                     for p in polar]).reshape(-1, 3)  # fmt: skip
    faces = []
    for r in range(rings - 2):
        for s in range(sectors):
            a, b = r * sectors + s, r * sectors + (s + 1) % sectors
            faces += [(a, a + sectors, b), (b, a + sectors, b + sectors)]
    top, bottom = len(grid), len(grid) + 1
    last = (rings - 2) * sectors
    faces += [(top, s, (s + 1) % sectors) for s in range(sectors)]
    faces += [(bottom, last + (s + 1) % sectors, last + s) for s in range(sectors)]
    return np.array(faces), 0.05 * np.concatenate((grid, [[0, 0, 1], [0, 0, -1]]))


@pytest.mark.parametrize("mesh", ["open hand", "sphere of 752 vertices"])
def test_hierarchy_of_any_mesh(mesh: str, models: HandModels) -> None:
    faces, template = (models.right.faces, models.right.v_template) if mesh == "open hand" else sphere()
    built = build_hierarchy(faces, template)
    sizes = [len(graph) for graph in built.adjacency]
    assert 40 <= sizes[0] <= COARSEST_NODES and sizes[1:] == [2 * sizes[0], 4 * sizes[0]]
    below = built.members > 0
    assert (below.sum(0) == 1).all()  # every vertex lies below exactly one node
    finest = built.adjacency[2]
    vertex_node = below.argmax(0)
    joined = np.zeros_like(finest, dtype=bool)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        joined[vertex_node[faces[:, a]], vertex_node[faces[:, b]]] = True
    joined |= joined.T
    np.fill_diagonal(joined, False)
    assert ((finest > 0) == joined).all()  # nodes are joined exactly where their vertices are
    for coarse, fine in zip(built.adjacency, built.adjacency[1:]):
        merged = (fine > 0).reshape(len(coarse), 2, len(coarse), 2).any((1, 3))
        np.fill_diagonal(merged, False)
        assert ((coarse > 0) == merged).all()  # children 2 i and 2 i + 1
    assert np.allclose(built.upsample.sum(1), 1)
    rebuilt = built.upsample @ (built.members @ template)
    assert np.linalg.norm(rebuilt - template, axis=1).max() < 2e-3
    assert np.allclose(np.linalg.eigvalsh(laplacian(finest))[[0, -1]], [-1, 1])


def test_inference_path_has_32_9_million_parameters(models: HandModels) -> None:
    network = HandDgcl(replace(SIZES["paper"], disturbance="none"), models)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(32.9e6, abs=5e4)


def test_both_models_of_a_pair_and_gradients_to_the_picture(network: HandDgcl) -> None:
    pair = HandDgcl(SMALL, HandModels(invented_model(), invented_left()))
    assert len(pair.hierarchies) == 2
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    meshes = network(images)
    assert meshes.vertices.shape == (2, 2, 1609, 3) and meshes.camera.shape == (2, 2, 3)
    meshes.vertices.square().sum().backward()
    assert images.grad is not None and float(images.grad.abs().max()) > 0


def test_chebyshev_convolution_is_the_polynomial_of_its_definition() -> None:
    graph = torch.as_tensor(laplacian(np.array([[0, 1, 0], [1, 0, 2], [0, 2, 0.0]])), dtype=torch.float32)
    layer = Chebyshev(2, 4, order=4)
    nodes = draw(1, 3, 2)
    values, vectors = torch.linalg.eigh(graph)
    total = layer.mix.bias.expand(3, 4)
    for k in range(4):
        filtered = (
            vectors @ torch.diag(torch.cos(k * torch.acos(values.clamp(-1, 1)))) @ vectors.T
        )  # T_k(cos a) = cos k a
        total = total + filtered @ nodes[0] @ layer.mix.weight[:, 2 * k : 2 * k + 2].T
    assert torch.allclose(layer(nodes, graph)[0], total, atol=1e-4)


def test_graph_unet_pools_to_the_best_nodes_and_keeps_shapes() -> None:
    chain = torch.diag(torch.ones(4), 1) + torch.diag(torch.ones(4), -1) + torch.eye(5)
    kept = torch.tensor([[0, 2, 4]])
    expected = torch.tensor([[1.0, 1, 0], [1, 1, 1], [0, 1, 1]])  # two steps of a chain
    assert torch.equal(pooled_graph(chain[None], kept)[0], expected)
    net = GraphUNet(width=6, depth=2, ratio=0.5, dropout=0.0)
    nodes = draw(2, 5, 6)
    out = net(nodes, chain)
    assert out.shape == nodes.shape and not torch.allclose(out, nodes)
    alone = torch.cat([net(nodes[i : i + 1], chain) for i in range(2)])
    assert torch.allclose(out, alone, atol=1e-6)


@pytest.mark.parametrize("name", ABLATIONS)
def test_every_ablation_gives_finite_losses_and_gradients(
    name: str, models: HandModels, labels: losses.HandDgclLabels
) -> None:
    sizes = replace(replace(SMALL, **ABLATIONS[name]), dims=(16, 12, 8, 8), hidden=16)
    network = HandDgcl(sizes, models)
    meshes = network(torch.rand(3, 3, 64, 64))
    parts = losses.mesh_losses(meshes, MeshJoints(models), labels)
    assert (network.branch is None) == (sizes.disturbance == "none")
    if network.branch is not None:
        hands = network.branch(meshes.graph, meshes.decoded, network.gcns)
        again = network.branch(meshes.graph, meshes.decoded, network.gcns)
        for hand, same in zip(hands, again):
            assert not torch.allclose(hand.disturbed, hand.decoded) and torch.equal(hand.disturbed, same.disturbed)
        parts |= losses.contrast_losses(hands, labels)
        network.branch.remember(meshes.graph, network.gcns, labels.joints, labels.valid)
        assert [int(pool.filled) for pool in network.branch.pools] == [3, 2]  # the left hand of one picture is unknown
    assert ("contrast" in parts) == (name != "baseline") and ("consistent" in parts) == (name in ("full", "dgclnet"))
    losses.handdgcl_loss(parts, sizes)["total"].backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in network.parameters() if p.grad is not None)


def test_mesh_losses_are_those_of_plain_loops(models: HandModels, labels: losses.HandDgclLabels) -> None:
    turns, points = rotations.exp(draw(3, 2, 3, seed=6)), draw(3, 2, 21, 2, seed=7)
    vertices, camera = draw(3, 2, 1609, 3, seed=4, scale=0.1), draw(3, 2, 3, seed=5)
    meshes = Meshes(vertices, camera, torch.empty(0), torch.empty(0), turns, points)
    regress = MeshJoints(models)
    found = losses.mesh_losses(meshes, regress, labels)
    predicted, xy = regress(meshes.vertices), project_weakly(regress(meshes.vertices), meshes.camera, 256)
    expected = dict.fromkeys(found, 0.0)
    transition = []
    for b in range(3):
        known = [h for h in range(2) if labels.valid[b, h]]
        size = np.mean([float((labels.joints[b, h, OPENPOSE_MIDDLE_MCP] - labels.joints[b, h, OPENPOSE_WRIST]).norm())
                        for h in known])  # fmt: skip
        origin = labels.joints[b, 1 if 1 in known else 0, OPENPOSE_MIDDLE_MCP]
        assert labels.vertices is not None
        true_joints = (labels.joints[b] - origin) * METACARPAL_M / size
        true_mesh = (labels.vertices[b] - origin) * METACARPAL_M / size
        for h in known:
            expected["points_2d"] += float((points[b, h] - labels.xy[b, h]).abs().mean()) / 5
            assert labels.orient_R is not None
            mirror = torch.diag(torch.tensor([-1.0 if h else 1.0, 1, 1]))  # labels are in right-hand form
            expected["turn"] += float((turns[b, h] - mirror @ labels.orient_R[b, h] @ mirror).abs().mean()) / 5
            mine, true = (j - j[OPENPOSE_MIDDLE_MCP] for j in (predicted[b, h], true_joints[h]))
            own = torch.stack(
                [turns[b, h].T @ p - mirror @ labels.orient_R[b, h].T @ mirror @ q for p, q in zip(mine, true)]
            )
            expected["bend"] += float(own.abs().mean()) / 5
            expected["joints"] += float((predicted[b, h] - true_joints[h]).abs().mean()) / 5
            expected["vertices"] += float((meshes.vertices[b, h] - true_mesh[h]).abs().mean()) / 5
            expected["joints_2d"] += float((xy[b, h] - labels.xy[b, h] * 256).abs().mean()) / 5
            mine, true = predicted[b, h], true_joints[h]
            bones = [abs(float((mine[c] - mine[p]).norm() - (true[c] - true[p]).norm())) for p, c in BONES]
            expected["length"] += 1e3 * float(np.mean(bones)) / 5
        if len(known) == 2:
            apart = (meshes.vertices[b, 1] - meshes.vertices[b, 0]) - (true_mesh[1] - true_mesh[0])
            transition.append(float(apart.abs().mean()))
    expected["transition"] = float(np.mean(transition))
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name


def test_weak_camera() -> None:
    points, camera = torch.tensor([[[[0.1, -0.2, 5.0]]] * 2]), torch.tensor([[[2.0, 0.5, -0.5]] * 2])
    x, y = project_weakly(points, camera, 256)[0, 0, 0].tolist()
    assert x == pytest.approx(2 * 0.1 * 256 + 0.5 * 128 + 128) and y == pytest.approx(-2 * 0.2 * 256 - 0.5 * 128 + 128)


def test_contrastive_losses_are_those_of_plain_loops() -> None:
    unit = torch.nn.functional.normalize
    features, copies, queue = (unit(draw(n, 7, seed=n), dim=1) for n in (3, 4, 5))
    copies = copies[:3]
    poses, queued = unit(draw(3, 63, seed=8), dim=1), unit(draw(5, 63, seed=9), dim=1)
    likelihood = 0.0
    for i in range(3):
        against = [float(features[i] @ other) / 0.07 for other in (*copies, *queue)]
        likelihood += (against[i] - np.log(np.exp(against).sum())) / 3
    assert float(contrast.self_contrast(features, copies, queue, 0.07)) == pytest.approx(likelihood, rel=1e-4)
    squares = [
        (float(features[i] @ other) - max(float(poses[i] @ pose), 0.0)) ** 2
        for i in range(3)
        for other, pose in zip((*features, *queue), (*poses, *queued))
    ]
    found = contrast.cross_contrast(features, poses, queue, queued)
    assert float(found) == pytest.approx(np.sqrt(np.mean(squares)), rel=1e-4)
    assert float(contrast.cross_contrast(poses.abs(), poses.abs(), queued.abs(), queued.abs())) < 1e-5


def test_contrast_draws_pairs_together_and_not_apart() -> None:
    """Equation 11 as printed would reward features that disagree with poses; descent must do the opposite."""
    poses = contrast.pose_direction(draw(4, 21, 3))
    features = torch.nn.Parameter(draw(4, 9, seed=3))
    none, no_poses = torch.zeros(0, 9), torch.zeros(0, 63)
    optimizer = torch.optim.Adam([features], lr=0.05)
    distances = []
    for _ in range(60):
        distance = contrast.cross_contrast(torch.nn.functional.normalize(features, dim=1), poses, none, no_poses)
        distances.append(float(distance))
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
    assert distances[-1] < 0.5 * distances[0]


def test_pool_keeps_the_newest_pairs_and_its_network_follows_slowly(network: HandDgcl) -> None:
    gcn = network.hands[0].gcn
    nodes = len(network.hierarchies[0].positions)
    pool = contrast.FeaturePosePool(gcn, SMALL, nodes)
    assert pool.known()[0].shape == (0, nodes * SMALL.dims[-1])
    for start in (0, 4):
        poses = torch.arange(start, start + 4.0)[:, None].expand(-1, 63)
        pool.put(gcn, draw(4, nodes, SMALL.dims[0], seed=start), poses)
    features, poses = pool.known()
    assert sorted(poses[:, 0].tolist()) == [2, 3, 4, 5, 6, 7]  # six places; pairs 0 and 1 were overwritten
    assert torch.allclose(features.norm(dim=1), torch.ones(6), atol=1e-5)
    other = contrast.FeaturePosePool(gcn, SMALL, nodes)
    before = next(other.slow.parameters()).clone()
    moved = HandDgcl(SMALL, load_hand_models("open")).hands[0].gcn
    other.put(moved, draw(1, nodes, SMALL.dims[0]), torch.zeros(1, 63))
    after, goal = next(other.slow.parameters()), next(moved.parameters())
    assert torch.allclose(after, 0.999 * before + 0.001 * goal, atol=1e-7)


def test_disturbed_edges_stay_a_laplacian() -> None:
    edges = (draw(2, 5, 5).abs() > 0.5).float().triu(1)
    edges = edges + edges.mT
    values = torch.linalg.eigvalsh(scaled_laplacian(edges))
    assert float(values.min()) >= -1 - 1e-5 and float(values.max()) <= 1 + 1e-5


@pytest.mark.parametrize("kind", ["random_edge", "flip_edge"])
def test_disturbance_draws_are_new_for_every_graph_and_change_only_drawn_edges(kind: str, models: HandModels) -> None:
    (graph, *_) = build_hierarchy(models.right.faces, models.right.v_template).adjacency
    edges, nodes = torch.as_tensor(graph, dtype=torch.float32), draw(3, len(graph), SMALL.dims[0])
    untouched = Disturbance(replace(SMALL, disturbance=kind, edge_share=0.0), len(graph))(nodes, edges)
    assert untouched.laplacian is not None
    torch.testing.assert_close(untouched.laplacian[1], torch.as_tensor(laplacian(graph)).float(), atol=1e-5, rtol=0)
    disturb = Disturbance(replace(SMALL, disturbance=kind, edge_share=0.1), len(graph))
    made = disturb(nodes, edges, torch.Generator().manual_seed(0)).laplacian
    assert made is not None and torch.allclose(made, made.mT, atol=1e-6) and not torch.equal(made[0], made[1])
    off = ~torch.eye(len(graph), dtype=torch.bool)
    new, gone = ((made.abs() > 1e-7) & (edges == 0) & off, (made.abs() < 1e-7) & (edges > 0))
    pairs = (edges == 0) & off
    assert 0.05 < float(new.sum() / (3 * pairs.sum())) < 0.15
    assert (0.05 < float(gone.sum() / (3 * (edges > 0).sum())) < 0.15) if kind == "flip_edge" else not gone.any()


def test_a_mask_hides_whole_feature_dimensions() -> None:
    nodes = torch.ones(4, 9, SMALL.dims[0])
    kept = Disturbance(replace(SMALL, disturbance="mask", mask_share=0.3), 9)(nodes, torch.eye(9)).nodes
    assert torch.equal(kept.amin(1), kept.amax(1))  # the same dimensions at every node
    assert 0.5 < float(kept.mean()) < 0.9 and not torch.equal(kept[0], kept[1])


def test_the_learned_rotation_turns_hands_before_they_are_projected(models: HandModels) -> None:
    turning = HandDgcl(replace(SMALL, camera_rotation=True), models)
    meshes = turning(draw(2, 3, SMALL.image, SMALL.image).sigmoid())
    assert meshes.camera_R is not None and meshes.camera_R.shape == (2, 2, 3, 3)
    torch.testing.assert_close(meshes.camera_R[0, 0], torch.eye(3), atol=0.3, rtol=0)  # begins near none
    labels = losses.HandDgclLabels(
        draw(2, 2, 21, 3, scale=0.1), None, draw(2, 2, 21, 2, seed=2).sigmoid(), torch.ones(2, 2), torch.ones(2, 2)
    )
    parts = losses.mesh_losses(meshes, turning.regress, labels)
    weight = turning.hands[0].to_rotation.weight  # type: ignore[union-attr]
    (by_2d,) = torch.autograd.grad(parts["joints_2d"], weight, retain_graph=True)
    assert by_2d.abs().sum() > 0  # learned by L_2d, and by it alone
    assert torch.autograd.grad(parts["joints"], weight, allow_unused=True) == (None,)
