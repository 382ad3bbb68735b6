"""A hand mesh as graphs from coarse to fine, computed from its faces: any hand's mesh will do.

Separate from the network because it is done once, in numpy. Coarsening: Dhillon et al. 2007 (Graclus), as used with
Chebyshev convolutions by Defferrard et al. 2016; the way from the third level back to the mesh is ours.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]

COARSEST_NODES = 80  # at most: MANO's 778 vertices and the open hand's 1,609 both come near the paper's 63
NEIGHBORS = 8  # coarse nodes from which a vertex is interpolated
SMOOTHING_M = 5e-4  # how much nearer a rebuilt vertex must come to pay for a larger weight
_FAKE = -1


@dataclass(frozen=True)
class Hierarchy:
    """Graphs of a mesh, coarsest first; node i of one level has the children 2 i and 2 i + 1 on the next.

    Nodes are padded with fakes, which have no edges, so that every node has two children.
    """

    adjacency: tuple[Floats, ...]  # [n, n] of the three coarsest levels: n, 2 n and 4 n nodes
    positions: Floats  # [n, 3] of the coarsest nodes in the template, each axis in -1..1; fakes 0
    members: Floats  # [4 n, V] rows average the vertices below a node of the third level; fakes 0
    upsample: Floats  # [V, 4 n] rows interpolate a vertex from nodes of the third level


def build_hierarchy(faces: Ints, template: Floats, coarsest: int = COARSEST_NODES) -> Hierarchy:
    """Coarsen the edge graph of faces [F, 3] over template vertices [V, 3] until at most `coarsest` nodes are left.

    Each step halves the graph at best. Needs at least two steps. Deterministic.
    """
    count = len(template)
    weights = _edges(faces, count)
    graphs, parents = [weights], list[Ints]()
    while len(graphs[-1]) > coarsest or len(parents) < 2:
        groups = _matching(graphs[-1])
        parents.append(groups)
        graphs.append(_merged(graphs[-1], groups))
    orders = _tree(parents, len(graphs[-1]))  # coarsest first; the node of each place, or a fake
    shown = [_permuted(graph, order) for graph, order in zip(graphs[::-1], orders)][:3]
    below = _below(parents, len(parents) - 2, count)[orders[2]] * (orders[2] != _FAKE)[:, None]
    members = below / np.maximum(below.sum(1, keepdims=True), 1)
    centered = template - template.mean(0)
    coarse = _below(parents, len(parents), count)[orders[0]] * (orders[0] != _FAKE)[:, None]
    positions = coarse / np.maximum(coarse.sum(1, keepdims=True), 1) @ (centered / np.abs(centered).max(0))
    return Hierarchy(tuple(shown), positions, members, _interpolation(template, members, shown[2]))


def laplacian(adjacency: Floats) -> Floats:
    """Return the normalized Laplacian I - D^-1/2 W D^-1/2, [n, n], scaled to -1..1 for Chebyshev polynomials."""
    degree = adjacency.sum(1)
    inverse = np.where(degree > 0, 1 / np.sqrt(np.where(degree > 0, degree, 1)), 0.0)
    plain = np.eye(len(adjacency)) - inverse[:, None] * adjacency * inverse
    largest = np.linalg.eigvalsh(plain)[-1]
    return np.asarray(2 / largest * plain - np.eye(len(adjacency)))


def _edges(faces: Ints, count: int) -> Floats:
    weights = np.zeros((count, count))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        weights[faces[:, a], faces[:, b]] = weights[faces[:, b], faces[:, a]] = 1
    return weights


def _matching(weights: Floats) -> Ints:
    """Pair each node with the free neighbor of largest w (1 / d_i + 1 / d_j); return the group of each node."""
    degree = np.maximum(weights.sum(1), 1e-12)
    gain = weights * (1 / degree[:, None] + 1 / degree)
    groups = np.full(len(weights), -1)
    number = 0
    for node in np.argsort(degree, kind="stable"):
        if groups[node] >= 0:
            continue
        groups[node] = number
        free = np.where((groups < 0) & (weights[node] > 0), gain[node], 0.0)
        if free.max() > 0:
            groups[free.argmax()] = number
        number += 1
    return groups


def _merged(weights: Floats, groups: Ints) -> Floats:
    belongs = np.eye(groups.max() + 1)[:, groups]
    merged = belongs @ weights @ belongs.T
    np.fill_diagonal(merged, 0)
    return np.asarray(merged)


def _tree(parents: list[Ints], roots: int) -> list[Ints]:
    """Return the node at each place of each level, coarsest first, children beside each other."""
    orders: list[Ints] = [np.arange(roots)]
    for groups in parents[::-1]:
        places: list[int] = []
        for node in orders[-1]:
            children = [] if node == _FAKE else np.flatnonzero(groups == node).tolist()
            places += [*children, _FAKE, _FAKE][:2]
        orders.append(np.array(places))
    return orders


def _permuted(weights: Floats, order: Ints) -> Floats:
    real = order != _FAKE
    return np.asarray(weights[np.ix_(order, order)] * real[:, None] * real)


def _below(parents: list[Ints], levels: int, count: int) -> Floats:
    """Return which vertices lie below each node after `levels` steps of coarsening, [nodes, V]."""
    group = np.arange(count)
    for groups in parents[:levels]:
        group = groups[group]
    return np.eye(group.max() + 1)[:, group]


def _interpolation(template: Floats, members: Floats, adjacency: Floats) -> Floats:
    """Return [V, 4 n]: small weights of sum 1 that rebuild each template vertex from nodes near it along the surface.

    Weights that rebuild a point rebuild it after any affine motion of its neighborhood; they minimize
    |v - sum w c|^2 + SMOOTHING_M^2 |w|^2 over a vertex's own node and the nearest nodes within two edges of it.
    """
    nodes = members @ template
    near = np.linalg.matrix_power((adjacency > 0) + np.eye(len(adjacency)), 2) > 0
    own = (members > 0).argmax(0)
    weights = np.zeros((len(template), len(nodes)))
    for vertex, node in enumerate(own):
        around = np.flatnonzero(near[node])
        distance = np.linalg.norm(nodes[around] - template[vertex], axis=1)
        chosen = around[np.argsort(distance, kind="stable")[:NEIGHBORS]]
        apart = nodes[chosen] - template[vertex]
        gram = apart @ apart.T + SMOOTHING_M**2 * np.eye(len(chosen))
        share = np.linalg.solve(gram, np.ones(len(chosen)))
        weights[vertex, chosen] = share / share.sum()
    return weights
