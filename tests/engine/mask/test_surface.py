"""The mesh is closed and faces outward, and the voxels it encloses are those of its exact volume."""

import numpy as np
import pytest

from ferritin.mask._surface import icosphere, winding


@pytest.mark.parametrize("subdivisions", [0, 1, 3])
def test_the_icosphere_is_closed(subdivisions):
    mesh = icosphere(subdivisions)
    n, m = mesh.vertices.shape[1], mesh.faces.shape[1]
    edges = {tuple(e) for a, b in ((0, 1), (1, 2), (2, 0)) for e in mesh.faces[[a, b]].T.tolist()}
    assert n == 10 * 4**subdivisions + 2
    assert len(edges) == 3 * m == 6 * (n - 2)  # each edge once in each direction, Euler's formula
    assert all((b, a) in edges for a, b in edges)
    assert np.linalg.norm(mesh.vertices, axis=0) == pytest.approx(1)


def test_rings_name_the_neighbours_in_order():
    mesh = icosphere(2)
    edges = {tuple(e) for a, b in ((0, 1), (1, 2), (2, 0)) for e in mesh.faces[[a, b]].T.tolist()}
    for vertex, (ring, share) in enumerate(zip(mesh.ring.T, mesh.share.T)):
        ring = ring[share > 0]
        assert {(vertex, i) for i in ring.tolist()} == {e for e in edges if e[0] == vertex}
        assert share.sum() == pytest.approx(1)
        for a, b in zip(ring.tolist(), np.roll(ring, -1).tolist()):
            assert (a, b) in edges


def polyhedron_volume(vertices, faces):
    a, b, c = vertices[:, faces].transpose(1, 0, 2)
    return (a * np.cross(b, c, axis=0)).sum() / 6


def test_enclosed_voxels_have_the_polyhedrons_volume(xp, to_xp, to_np):
    mesh = icosphere(3)
    vertices = mesh.vertices * np.array([[20.3], [15.1], [18.7]]) + np.array([[25.2], [22.7], [24.9]])
    turns = to_np(winding(xp, to_xp(vertices), to_xp(mesh.faces), (52, 44, 50)))
    assert set(np.unique(turns)) == {0, 1}
    assert turns.sum() == pytest.approx(polyhedron_volume(vertices, mesh.faces), rel=2e-3)
    centre = [g - c for g, c in zip(np.meshgrid(*map(np.arange, turns.shape), indexing="ij"), (25.2, 22.7, 24.9))]
    r = np.sqrt(sum((g / a) ** 2 for g, a in zip(centre, (20.3, 15.1, 18.7))))
    assert turns[r < 0.97].all()
    assert not turns[r > 1].any()


def test_what_leaves_the_volume_is_cut_at_its_walls():
    mesh = icosphere(2)
    turns = winding(np, mesh.vertices * 30 + np.array([[10], [10], [10]]), mesh.faces, (20, 20, 20))
    assert (turns == 1).all()
    half = winding(np, mesh.vertices * 8 + np.array([[0], [10], [10]]), mesh.faces, (20, 20, 20))
    whole = winding(np, mesh.vertices * 8 + np.array([[20], [10], [10]]), mesh.faces, (40, 20, 20))
    np.testing.assert_array_equal(half, whole[20:])


def test_an_intersection_winds_twice_and_an_inverted_mesh_backward():
    mesh = icosphere(2)
    n = mesh.vertices.shape[1]
    two = np.concatenate([mesh.vertices * 6 + 8.3, mesh.vertices * 6 + 13.1], axis=1)
    turns = winding(np, two, np.concatenate([mesh.faces, mesh.faces + n], axis=1), (24, 24, 24))
    assert set(np.unique(turns)) == {0, 1, 2}
    assert winding(np, mesh.vertices * -6.0 + 8.3, mesh.faces, (20, 20, 20)).min() == -1
