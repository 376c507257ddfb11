"""The steps of the joint estimator against their meaning in numpy, scipy's maximum flow, and under sanitizers."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

import ferritin_kernels
from ferritin_kernels import joint

HERE, KERNELS = Path(__file__).parent, Path(ferritin_kernels.__file__).parent
TE = (0.004, 0.012, 0.02, 0.028)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Build a C++ test program with the sanitizers."""

    def build(name):
        binary = tmp_path_factory.mktemp(name) / name
        flags = ["-std=c++17", "-O1", "-g1", "-pthread", "-Wall", "-Wextra", f"-I{KERNELS}"]
        sanitize = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
        subprocess.run(["g++", *flags, *sanitize, "-o", binary, HERE / f"{name}.cpp"], check=True, timeout=300)
        return binary

    return build


def ball(shape=(14, 12, 11)):
    x, y, z = np.meshgrid(*(np.arange(n) - n / 2 + 0.5 for n in shape), indexing="ij")
    return x**2 + y**2 + z**2 < 28


def echoes_of(field, snr=40.0, seed=0, te=TE):
    rng = np.random.default_rng(seed)
    t = np.array(te)[:, None, None, None]
    noise = rng.normal(size=(2, len(te), *field.shape))
    return (snr * np.exp(-30 * t + 2j * np.pi * field * t) + noise[0] + 1j * noise[1]).astype(np.complex64)


def test_graph_lists_voxels_and_neighbours():
    mask = np.random.default_rng(0).random((5, 6, 7)) < 0.6
    graph = joint.joint_graph(mask)
    assert (graph.voxel == np.flatnonzero(mask)).all()
    place = np.full(mask.size, -1)
    place[graph.voxel] = np.arange(graph.voxel.size)
    padded = np.pad(place.reshape(mask.shape), 1, constant_values=-1)
    for way in range(6):
        shifted = np.roll(padded, -1 if way % 2 else 1, axis=way // 2)[1:-1, 1:-1, 1:-1]
        assert (graph.neighbour[:, way] == shifted[mask]).all()


def test_samples_are_phase_and_power():
    mask = ball()
    echoes = echoes_of(np.zeros(mask.shape))
    echoes[2, 7, 6, 5] = np.nan
    samples = joint.joint_samples(joint.joint_graph(mask), echoes, TE, 1.0)
    expected = echoes[:, mask].T
    good = np.isfinite(expected)
    assert np.abs(samples.phase - np.angle(expected))[good].max() < 1e-6
    assert np.abs(samples.power / np.abs(expected) ** 2 - 1)[good].max() < 1e-6
    assert (samples.power[~good] == 0).all()


def test_steps_are_the_likeliest():
    mask = ball()
    rng = np.random.default_rng(3)
    field = rng.uniform(-55, 55, mask.shape)  # neighbours up to 110 Hz apart: far beyond 62 Hz, where echo 2 - 1 wraps
    samples = joint.joint_samples(joint.joint_graph(mask), echoes_of(field, snr=100), TE, 1.0)
    step, cost = joint.joint_steps(samples, 125.0)
    for axis in range(3):
        w = samples.graph.neighbour[:, 2 * axis + 1]
        there = np.flatnonzero(w >= 0)
        difference = field[mask][w[there]] - field[mask][there]
        assert np.abs(step[there, axis] - difference).max() < 4
        assert (cost[there, axis] < 128)[np.abs(difference) < 25].all()
        assert (cost[there, axis] > 200)[np.abs(difference) > 95].all()  # near the reach one turn looks like another
        a, b = samples.power[there[0]], samples.power[w[there[0]]]
        kappa = a * b / (a + b)
        trial = np.linspace(-125, 125, 2001)[:, None]
        d = samples.phase[w[there[0]]] - samples.phase[there[0]]
        score = (kappa * 12 / (kappa + 12) * np.cos(d - 2 * np.pi * trial * np.array(TE))).sum(1)
        assert abs(step[there[0], axis] - trial[score.argmax(), 0]) < 3


def test_growth_unwraps_every_piece_of_the_mask():
    mask = ball()
    mask[7] = False
    x = np.arange(mask.shape[0])[:, None, None]
    field = np.broadcast_to(100.0 * x, mask.shape)
    samples = joint.joint_samples(joint.joint_graph(mask), echoes_of(field), TE, 1.0)
    step, cost = joint.joint_steps(samples, 125.0)
    growth = np.angle(np.exp(1j * (samples.phase[:, 1] - samples.phase[:, 0]))).astype(np.float32)
    region = joint.joint_grow(samples.graph, step, cost, growth, 0.008)
    labels, n = ndimage.label(mask)
    assert n == region.max() == 2
    for k in (1, 2):
        turns = np.rint((growth - 2 * np.pi * 0.008 * field[mask])[region == k] / (2 * np.pi))
        assert (turns == turns[0]).all()
        assert np.unique(labels[mask][region == k]).size == 1


def test_linear_fit_is_weighted_regression_with_offsets_of_their_own():
    mask = ball()
    field = np.full(mask.shape, 20.0)
    echoes = echoes_of(field, snr=30)
    echoes *= np.exp(0.4j)
    echoes[1::2] *= np.exp(0.9j)
    samples = joint.joint_samples(joint.joint_graph(mask), echoes, TE, 1.0)
    fitted = np.full(samples.phase.shape[0], 21.0, np.float32)
    offset = joint.joint_linear(samples, fitted, np.array([0, 1, 0, 1]))
    # by hand in one voxel: slope is 0 there, so the phase sd is 0.03 rad and noise
    w = 1 / (1 / (samples.power[5] - 2) + 0.03**2)
    t, r = np.array(TE), np.angle(np.exp(1j * (samples.phase[5] - 2 * np.pi * 21.0 * np.array(TE))))
    spread = moment = 0
    for group in ([0, 2], [1, 3]):
        dt = t[group] - np.average(t[group], weights=w[group])
        spread += (w[group] * dt**2).sum()
        moment += (w[group] * dt * r[group]).sum()
    assert fitted[5] == pytest.approx(21 + moment / spread / (2 * np.pi), abs=1e-3)
    assert abs(np.angle(offset.sum(0) * np.exp([-0.4j, -1.3j]))).max() < 0.03


def test_settling_mends_a_set_of_voxels_on_a_wrong_turn():
    shape = (24, 20, 16)
    x, y, z = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    field = 90 * np.exp(-((x - 18) ** 2 + (y - 10) ** 2) / 20.0) * 3 + 2.0 * z  # up to 90 Hz a voxel
    mask = np.ones(shape, bool)
    samples = joint.joint_samples(joint.joint_graph(mask), echoes_of(field, seed=4), TE, 1.0)
    start = field.astype(np.float32).ravel()
    wrong = ((x > 15) & (y > 8)).ravel()
    start[wrong] += 250
    settled = joint.joint_settle(samples, start, np.ones(start.size, np.int32), 0.008, 298.0)
    assert np.abs(settled.field - field.ravel()).max() < 60
    assert np.median(np.abs(settled.field - field.ravel())) < 1
    assert settled.n_doubtful > 0


def test_a_slope_that_was_missed_makes_an_offset_count_less():
    """Three echoes on one line through the offset, and three whose line leaves half a radian."""
    shape = (6, 5, 4)
    mask = np.ones(shape, bool)
    echoes = echoes_of(np.zeros(shape), snr=1e4)
    bent = echoes.copy()
    bent[1] *= np.exp(0.5j)
    length = []
    for e in (echoes, bent):
        samples = joint.joint_samples(joint.joint_graph(mask), e.astype(np.complex64), TE, 1.0)
        length.append(np.abs(joint.joint_linear(samples, np.zeros(mask.sum(), np.float32))).mean())
    assert length[1] < 0.05 * length[0]


def test_minimum_cut_is_scipys(program):
    binary = program("max_flow")
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = int(rng.integers(2, 30))
        edges = [(a, b) for a in range(n) for b in range(a) if rng.random() < 0.3]
        caps = rng.integers(0, 20, (len(edges), 2))
        costs = rng.integers(-15, 16, n)
        lines = [f"{n} {len(edges)}", *(f"{a} {b} {f} {r}" for (a, b), (f, r) in zip(edges, caps)), *map(str, costs)]
        out = subprocess.run([binary], input="\n".join(lines), capture_output=True, text=True, check=True).stdout
        source_side = np.array(out.split(), int).astype(bool)
        cut = sum(
            f * (source_side[a] & ~source_side[b]) + r * (source_side[b] & ~source_side[a])
            for (a, b), (f, r) in zip(edges, caps)
        )
        cut += costs[(costs > 0) & ~source_side].sum() - costs[(costs < 0) & source_side].sum()
        capacity = np.zeros((n + 2, n + 2), np.int32)
        for (a, b), (f, r) in zip(edges, caps):
            capacity[a, b], capacity[b, a] = f, r
        capacity[n, :n], capacity[:n, n + 1] = np.maximum(costs, 0), np.maximum(-costs, 0)
        assert cut == maximum_flow(csr_array(capacity), n, n + 1).flow_value


@pytest.mark.parametrize("case", ["9 8 7 4 1", "1 1 1 2 2", "1 30 1 3 3", "12 1 12 5 4"])
def test_steps_under_sanitizers(program, case):
    binary = program("joint_steps")
    subprocess.run([binary, *case.split()], check=True, timeout=120)


def test_an_empty_mask_is_no_crash():
    graph = joint.joint_graph(np.zeros((4, 4, 4), bool))
    assert graph.voxel.size == 0
    samples = joint.joint_samples(graph, np.zeros((2, 4, 4, 4), np.complex64), (0.004, 0.008), 1.0)
    step, _ = joint.joint_steps(samples, 100.0)
    assert step.shape == (0, 3)
