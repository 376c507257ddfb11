"""What a GPU would run, proved without one: it compiles for every architecture, within its registers, and is sane.

The table holds each entry's registers and spills; a change that costs occupancy has to be made on purpose.
"""

import re

import numpy as np
import pytest

import ferritin_kernels
from ferritin_kernels import gpu

ARCHITECTURES = (75, 80, 90, 120)

# (header, entry, compile-time numbers): most registers on any architecture. No entry may spill, nor use a stack but
# for those of STACK, whose states are too many for registers.
BUDGET = {
    ("monoexp", "monoexp", (("FERRITIN_ECHOES", 6), ("FERRITIN_GRADIENT", 0), ("FERRITIN_MODEL", 0))): 64,
    ("monoexp", "monoexp", (("FERRITIN_ECHOES", 6), ("FERRITIN_GRADIENT", 0), ("FERRITIN_MODEL", 1))): 72,
    ("monoexp", "monoexp", (("FERRITIN_ECHOES", 6), ("FERRITIN_GRADIENT", 0), ("FERRITIN_MODEL", 2))): 64,
    ("monoexp", "monoexp", (("FERRITIN_ECHOES", 6), ("FERRITIN_GRADIENT", 0), ("FERRITIN_MODEL", 3))): 72,
    ("monoexp", "monoexp", (("FERRITIN_ECHOES", 16), ("FERRITIN_GRADIENT", 0), ("FERRITIN_MODEL", 1))): 104,
    ("complexfit", "complexfit", (("FERRITIN_BIPOLAR", 0), ("FERRITIN_ECHOES", 6), ("FERRITIN_GRADIENT", 0))): 72,
    ("complexfit", "complexfit", (("FERRITIN_BIPOLAR", 1), ("FERRITIN_ECHOES", 6), ("FERRITIN_GRADIENT", 0))): 96,
    ("monoexp", "monoexp", (("FERRITIN_ECHOES", 6), ("FERRITIN_GRADIENT", 1), ("FERRITIN_MODEL", 1))): 96,
    ("complexfit", "complexfit", (("FERRITIN_BIPOLAR", 0), ("FERRITIN_ECHOES", 6), ("FERRITIN_GRADIENT", 1))): 96,
    ("closed", "closed", (("FERRITIN_ECHOES", 6), ("FERRITIN_FORM", 0))): 48,
    ("closed", "closed", (("FERRITIN_ECHOES", 6), ("FERRITIN_FORM", 1))): 40,
    ("closed", "closed", (("FERRITIN_ECHOES", 6), ("FERRITIN_FORM", 2))): 40,
    ("epg", "epg", (("FERRITIN_ECHOES", 10), ("FERRITIN_MODEL", 0), ("FERRITIN_PARTS", 0), ("FERRITIN_SKIP", 0))): 128,
    ("epg", "epg", (("FERRITIN_ECHOES", 10), ("FERRITIN_MODEL", 1), ("FERRITIN_PARTS", 0), ("FERRITIN_SKIP", 0))): 128,
    ("epg", "epg", (("FERRITIN_ECHOES", 16), ("FERRITIN_MODEL", 0), ("FERRITIN_PARTS", 0), ("FERRITIN_SKIP", 1))): 168,
    ("epg", "epg", (("FERRITIN_ECHOES", 10), ("FERRITIN_MODEL", 0), ("FERRITIN_PARTS", 1), ("FERRITIN_SKIP", 0))): 128,
    ("epg", "epg", (("FERRITIN_ECHOES", 32), ("FERRITIN_MODEL", 0), ("FERRITIN_PARTS", 0), ("FERRITIN_SKIP", 0))): 80,
    ("romeo", "romeo_weights", (("FERRITIN_MAGNITUDE", 2),)): 48,
    ("phase", "phase", ()): 24,
    ("stencil", "stencil", (("FERRITIN_STENCIL", 0),)): 40,
    ("stencil", "stencil", (("FERRITIN_STENCIL", 1),)): 40,
    ("stencil", "stencil", (("FERRITIN_STENCIL", 2),)): 40,
    ("mean", "mean", ()): 40,
    ("variation", "variation", (("FERRITIN_PART", 0),)): 40,
    ("variation", "variation", (("FERRITIN_PART", 1),)): 40,
    ("echoes", "echoes", (("FERRITIN_ECHOES", 6), ("FERRITIN_LINE", 0))): 40,
    ("echoes", "echoes", (("FERRITIN_ECHOES", 6), ("FERRITIN_LINE", 1))): 40,
}
STACK = {
    ("epg", "epg", (("FERRITIN_ECHOES", 32), ("FERRITIN_MODEL", 0), ("FERRITIN_PARTS", 0), ("FERRITIN_SKIP", 0))): 704,
}


def compile_cubin(header, defines, arch):
    """(size of the cubin, compiler's log) by NVRTC."""
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-bindings and nvidia-cuda-nvrtc are not installed")
    options = [*gpu.options(defines), f"--gpu-architecture=sm_{arch}", "--ptxas-options=-v"]
    _, program = nvrtc.nvrtcCreateProgram(gpu.source(header).encode(), f"{header}.cu".encode(), 0, [], [])
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
    log = bytearray(nvrtc.nvrtcGetProgramLogSize(program)[1])
    log = bytes(log)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert result == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode()
    return nvrtc.nvrtcGetCUBINSize(program)[1], log.decode()


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("case", BUDGET, ids=lambda c: "-".join([c[1], *(str(v) for _, v in c[2])]))
def test_cubin_keeps_its_registers(case, arch):
    header, entry, defines = case
    size, log = compile_cubin(header, defines, arch)
    assert size > 0
    properties = log.split(f"'{entry}'")[1]
    stack, stores, loads, registers = map(
        int,
        re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers",
            properties,
            re.DOTALL,
        ).groups(),
    )
    assert (stores, loads) == (0, 0)
    assert stack <= STACK.get(case, 0)
    assert registers <= BUDGET[case]


def odd_echoes(n, n_echo=5, seed=0):
    """Noisy decays in n voxels, some of them NaN, infinite or empty."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0.004, 0.03, n_echo)
    echoes = 100 * np.exp(-t[:, None] * rng.uniform(5, 200, n) + 2j * np.pi * t[:, None] * rng.uniform(-50, 50, n))
    echoes += rng.standard_normal((n_echo, n)) + 1j * rng.standard_normal((n_echo, n))
    for k, bad in enumerate((np.nan, np.inf, -np.inf, 0, 1e38, complex(np.nan, 1))):
        echoes[k % n_echo, k + 1 : k + 2] = bad
    echoes[:, 20:21] = 0
    return echoes.astype(np.complex64), t


@pytest.mark.parametrize("n", [0, 1, 37])
@pytest.mark.parametrize("model", ["plain", "second", "first", "floor"])
def test_monoexp_entry_is_sane_and_agrees(on_host_cuda, n, model):
    echoes, te = odd_echoes(n)
    mask = np.random.default_rng(1).random(n) > 0.2
    options = {"model": model, "noise_sd": 1.0, "threads": 1}
    with on_host_cuda:
        entry = ferritin_kernels.monoexp(echoes, te, mask, **options)
    vector = ferritin_kernels.monoexp(echoes, te, mask, **options)
    np.testing.assert_array_equal(entry.converged, vector.converged)
    np.testing.assert_allclose(entry.rate, vector.rate, rtol=2e-3, atol=0.05)
    np.testing.assert_allclose(entry.error, vector.error, rtol=2e-2, atol=0.05)


@pytest.mark.parametrize("n", [0, 1, 37])
@pytest.mark.parametrize("form", ["log_linear", "arlo", "numart"])
def test_closed_entry_is_sane_and_agrees(on_host_cuda, n, form):
    echoes, te = odd_echoes(n)
    mask = np.random.default_rng(1).random(n) > 0.2
    with on_host_cuda:
        entry = ferritin_kernels.closed_form(echoes, te, mask, form=form, noise_sd=1.0)
    vector = ferritin_kernels.closed_form(echoes, te, mask, form=form, noise_sd=1.0)
    np.testing.assert_array_equal(entry.converged, vector.converged)
    np.testing.assert_allclose(entry.rate, vector.rate, rtol=1e-3, atol=0.02)
    np.testing.assert_allclose(entry.error, vector.error, rtol=1e-3, atol=0.02)


@pytest.mark.parametrize("n", [0, 1, 37])
@pytest.mark.parametrize("options", [{}, {"model": "second"}, {"profile": ((1.0, 0.6), (0.8, 0.4))}, {"first": 2}])
def test_epg_entry_is_sane_and_agrees(on_host_cuda, n, options):
    echoes, _ = odd_echoes(n, 7)
    mask, first = np.random.default_rng(1).random(n) > 0.2, options.get("first", 1)
    options = {name: value for name, value in options.items() if name != "first"}
    te = 0.005 * np.arange(first, first + 7)
    with on_host_cuda:
        entry = ferritin_kernels.epg(echoes, te, mask, noise_sd=1.0, **options)
    vector = ferritin_kernels.epg(echoes, te, mask, noise_sd=1.0, **options)
    np.testing.assert_array_equal(entry.iterations > 0, vector.iterations > 0)
    sure = entry.converged & vector.converged & (vector.error < 5)
    assert np.count_nonzero(entry.converged != vector.converged) <= 1
    np.testing.assert_allclose(entry.rate[sure], vector.rate[sure], rtol=5e-3, atol=0.1)
    np.testing.assert_allclose(entry.error[sure], vector.error[sure], rtol=5e-2, atol=0.05)


@pytest.mark.parametrize("n", [0, 1, 37])
@pytest.mark.parametrize("bipolar", [False, True])
def test_complexfit_entry_is_sane_and_agrees(on_host_cuda, n, bipolar):
    echoes, te = odd_echoes(n)
    mask = np.random.default_rng(1).random(n) > 0.2
    unwrapped = np.unwrap(np.angle(echoes), axis=0).astype(np.float32)
    for start in (unwrapped, None):
        options = {"bipolar": bipolar, "noise_sd": 1.0, "threads": 1}
        with on_host_cuda:
            entry = ferritin_kernels.complexfit(echoes, te, mask, start, **options)
        vector = ferritin_kernels.complexfit(echoes, te, mask, start, **options)
        sure = entry.converged & vector.converged & (vector.field_error < 5)
        assert np.count_nonzero(entry.converged != vector.converged) <= 2
        np.testing.assert_allclose(entry.field[sure], vector.field[sure], rtol=2e-3, atol=0.02)
        np.testing.assert_allclose(entry.rate[sure], vector.rate[sure], rtol=2e-3, atol=0.1)


@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 1, 1), (3, 4, 3)])
def test_gradient_entries_are_sane_and_agree(on_host_cuda, shape):
    echoes, te = odd_echoes(int(np.prod(shape)))
    echoes = echoes.reshape(te.size, *shape)
    rng = np.random.default_rng(1)
    mask, field = rng.random(shape) > 0.2, rng.uniform(-20, 20, shape).astype(np.float32)
    field[..., -1:] = np.nan
    for profile in ("box", "pulse", "gaussian"):
        gradient = ferritin_kernels.Gradient(field, (profile, "none", profile))
        with on_host_cuda:
            entry = ferritin_kernels.monoexp(echoes, te, mask, gradient=gradient)
            both = ferritin_kernels.complexfit(echoes, te, mask, gradient=gradient)
        vector = ferritin_kernels.monoexp(echoes, te, mask, gradient=gradient)
        sure = entry.converged & vector.converged & (vector.error < 20)
        np.testing.assert_allclose(entry.rate[sure], vector.rate[sure], rtol=5e-3, atol=0.1)
        assert np.isfinite(both.rate).all()


@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 1, 1), (5, 3, 7)])
@pytest.mark.parametrize("kind", [np.float32, np.complex64, None])
def test_romeo_weights_entry_is_sane_and_agrees(on_host_cuda, shape, kind):
    echoes, _ = odd_echoes(int(np.prod(shape)), 2)
    echoes = echoes.reshape(2, *shape)
    with np.errstate(all="ignore"):
        magnitude = None if kind is None else echoes[0] if kind is np.complex64 else abs(echoes[0])
    mask = np.random.default_rng(1).random(shape) > 0.2
    phase = np.angle(echoes)
    arguments = {"second": phase[1], "te_ratio": 0.4, "magnitude": magnitude}
    with on_host_cuda:
        cost = ferritin_kernels.romeo_weights(phase[0], mask, **arguments)
        quality = ferritin_kernels.romeo_quality(phase[0], mask, **arguments)
    np.testing.assert_allclose(cost.astype(int), ferritin_kernels.romeo_weights(phase[0], mask, **arguments), atol=1)
    np.testing.assert_allclose(quality, ferritin_kernels.romeo_quality(phase[0], mask, **arguments), atol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 37])
def test_phase_entry_is_sane_and_agrees(on_host_cuda, n):
    echoes, _ = odd_echoes(n)
    with on_host_cuda:
        entry = ferritin_kernels.phase(echoes)
    np.testing.assert_allclose(entry, ferritin_kernels.phase(echoes), atol=1e-6)
    finite = np.isfinite(echoes)
    np.testing.assert_allclose(entry[finite], np.angle(echoes[finite]), atol=2e-6)


@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 1, 1), (5, 3, 7)])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("backward", [True, False])
def test_stencil_entries_are_sane_and_agree(on_host_cuda, shape, periodic, backward):
    options = {"step": (1.0, 2.0, 0.5), "periodic": periodic}
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x[..., -1:] = np.nan
    with on_host_cuda:
        gradient = ferritin_kernels.gradient(x, backward=backward, **options)
        divergence = ferritin_kernels.divergence(gradient, backward=backward, **options)
        laplacian = ferritin_kernels.laplacian(x, **options)
    expected = ferritin_kernels.gradient(x, backward=backward, **options)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    expected = ferritin_kernels.divergence(expected, backward=backward, **options)
    np.testing.assert_allclose(divergence, expected, atol=1e-5)
    np.testing.assert_allclose(laplacian, ferritin_kernels.laplacian(x, **options), atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 1, 1), (5, 3, 7)])
def test_mean_entry_is_sane_and_agrees(on_host_cuda, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with on_host_cuda:
        ball, box = ferritin_kernels.ball_mean(x, 2.5, (1, 1.2, 0.6)), ferritin_kernels.box_mean(x, (1, 0, 9))
    np.testing.assert_allclose(ball, ferritin_kernels.ball_mean(x, 2.5, (1, 1.2, 0.6)), atol=1e-6)
    np.testing.assert_allclose(box, ferritin_kernels.box_mean(x, (1, 0, 9)), atol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 37])
def test_echoes_entries_are_sane_and_agree(on_host_cuda, n):
    echoes, te = odd_echoes(n)
    with np.errstate(invalid="ignore"):
        unwrapped = np.unwrap(np.angle(echoes), axis=0).astype(np.float32)
    with on_host_cuda:
        total = ferritin_kernels.root_sum_of_squares(echoes)
        line = ferritin_kernels.phase_line(echoes, unwrapped, te, offset=True)
    np.testing.assert_allclose(total, ferritin_kernels.root_sum_of_squares(echoes), rtol=1e-6)
    for entry, vector in zip(line, ferritin_kernels.phase_line(echoes, unwrapped, te, offset=True)):
        np.testing.assert_allclose(entry, vector, rtol=1e-4, atol=1e-4)
