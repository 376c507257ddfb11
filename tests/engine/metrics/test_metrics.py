"""Metrics against closed forms, scikit-image, and the public QSM-CI scorer where it is installed."""

import math

import numpy as np
import pytest
from scipy import ndimage

from ferritin.errors import InputError, ShapeError
from ferritin.metrics import (
    calcification,
    evaluate,
    hfen,
    leakage,
    median_error,
    nrmse,
    nrmse_detrended,
    region_means,
    rmse,
    roi_percentage_error,
    slope_deviation,
    vessel_region,
    xsim,
    xsim_map,
)


@pytest.fixture(scope="module")
def head():
    """Smooth random truth with labelled blobs, an ellipsoid mask, and a map with a slope, an offset and noise."""
    rng = np.random.default_rng(3)
    shape = (40, 44, 36)
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    mask = sum(g * g for g in grid) < 0.8
    truth = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    truth *= 0.1 / truth.std()
    labels = np.where(mask, 8, 0)
    for index, centre in enumerate(((10, 20), (14, 24), (18, 12), (22, 22), (26, 28), (30, 20)), 1):
        labels[centre[0] : centre[0] + 3, centre[1] : centre[1] + 3, 12:18] = index
        truth[labels == index] += 0.05 * index
    labels[18:21, 30:33, 16:30] = 11
    labels[19:21, 20:22, 26:28] = 16
    truth[labels == 16] = -1.5
    chi = 0.8 * truth + 0.03 + 0.01 * rng.normal(size=shape)
    return chi.astype(np.float32), truth.astype(np.float32), mask, labels


def test_equal_maps_score_perfectly(head):
    _, truth, mask, labels = head
    score = evaluate(truth, truth, mask, labels)
    for name in ("rmse", "nrmse", "nrmse_detrended", "hfen", "nrmse_tissue", "nrmse_blood", "nrmse_dgm"):
        assert score[name] == pytest.approx(0, abs=1e-4), name
    assert score["slope_deviation"] == pytest.approx(0, abs=1e-6)
    assert score["calcification_moment_deviation"] == pytest.approx(0, abs=1e-5)
    for name in ("xsim_uniform5", "xsim_gauss7", "correlation", "coverage"):
        assert score[name] == pytest.approx(1), name


def test_doubled_map(head):
    _, truth, mask, labels = head
    truth = truth.astype(np.float64)
    assert nrmse(2 * truth, truth, mask) == pytest.approx(100)
    assert rmse(2 * truth, truth, mask) == pytest.approx(100)
    assert hfen(2 * truth, truth, mask) == pytest.approx(100)
    assert nrmse_detrended(2 * truth, truth, mask) == pytest.approx(0, abs=1e-6)
    assert slope_deviation(2 * truth, truth, mask, labels) == pytest.approx((1, 2))


def test_offset_counts_only_without_demeaning(head):
    _, truth, mask, _ = head
    truth = truth.astype(np.float64)
    assert nrmse(truth + 1, truth, mask) == pytest.approx(0, abs=1e-9)
    assert rmse(truth + 1, truth, mask) == pytest.approx(100 * math.sqrt(mask.sum() / (truth[mask] ** 2).sum()))


def test_median_error_withstands_a_few_wild_voxels(head):
    _, truth, mask, _ = head
    wild = truth.astype(np.float64) + 0.02
    wild[tuple(np.argwhere(mask)[::50].T)] = 1e6
    assert median_error(wild, truth, mask) == pytest.approx(0.02, rel=1e-3)


def test_known_noise_gives_known_error():
    """White noise of a known sd over white truth: NRMSE is the ratio of the sds, correlation and slope follow."""
    rng = np.random.default_rng(0)
    truth, noise = rng.normal(size=(2, 64, 64, 64))
    score = evaluate(truth + 0.3 * noise, truth, np.ones(truth.shape, bool))
    assert score["nrmse"] == pytest.approx(30, rel=0.01)
    assert score["correlation"] == pytest.approx(1 / math.sqrt(1.09), rel=0.01)
    assert score["hfen"] == pytest.approx(30, rel=0.02)


@pytest.mark.parametrize(
    ("window", "options"), [("uniform", {"win_size": 5}), ("gaussian", {"gaussian_weights": True})]
)
def test_xsim_is_ssim_with_the_papers_constants(head, window, options):
    ssim = pytest.importorskip("skimage.metrics").structural_similarity
    chi, truth = (v.astype(np.float64) for v in head[:2])
    _, theirs = ssim(
        chi, truth, data_range=1.0, K1=0.01, K2=0.001, use_sample_covariance=False, full=True, sigma=1.5, **options
    )
    ours = xsim_map(chi, truth, window, radius=5 if window == "gaussian" else 2)
    inner = (slice(6, -6),) * 3
    np.testing.assert_allclose(ours[inner], theirs[inner], rtol=1e-6, atol=1e-9)


def test_xsim_formula_by_hand():
    """One 5³ block: the middle voxel's window is the whole block, so the formula applies to its moments."""
    rng = np.random.default_rng(1)
    x, t = 0.1 * rng.normal(size=(2, 5, 5, 5))
    mask = np.zeros(x.shape, bool)
    mask[2, 2, 2] = True
    covariance = np.mean((x - x.mean()) * (t - t.mean()))
    expected = (2 * x.mean() * t.mean() + 1e-4) * (2 * covariance + 1e-6)
    expected /= (x.mean() ** 2 + t.mean() ** 2 + 1e-4) * (x.var() + t.var() + 1e-6)
    assert xsim_map(x, t)[2, 2, 2] == pytest.approx(expected)
    assert xsim(x, t, np.ones(x.shape, bool)) < 1


def test_xsim_and_hfen_ignore_what_is_outside_the_mask(head):
    chi, truth, mask, _ = head
    polluted = np.where(mask, chi, 50)
    for metric in (xsim, hfen):
        assert metric(polluted, truth, mask) == pytest.approx(metric(chi, truth, mask))


def test_normalised_error_is_scikit_images(head):
    nrmse_theirs = pytest.importorskip("skimage.metrics").normalized_root_mse
    chi, truth, mask, _ = head
    x, t = chi[mask].astype(np.float64), truth[mask].astype(np.float64)
    assert rmse(chi, truth, mask) == pytest.approx(100 * nrmse_theirs(t, x, normalization="euclidean"))
    assert nrmse(chi, truth, mask) == pytest.approx(
        100 * nrmse_theirs(t - t.mean(), x - x.mean(), normalization="euclidean")
    )


def test_calcification_moment_and_streak_by_hand():
    """A 2³ calcification of -2 ppm drawn as -1 ppm, in a rim where the map is the truth plus ±0.05 ppm."""
    truth = np.zeros((40, 40, 40))
    labels = np.zeros(truth.shape, int)
    labels[19:21, 19:21, 19:21] = 16
    truth[..., ::4] += 0.1
    truth[labels == 16] = -2
    sign = np.indices(truth.shape).sum(0) % 2 * 2 - 1
    chi = truth + 0.05 * sign
    chi[labels == 16] = -1
    moment, streak = calcification(chi, truth, labels)
    assert moment == pytest.approx(8)
    assert streak == pytest.approx(0.05, rel=0.02)


def test_calcification_that_is_not_drawn():
    truth, labels = np.zeros((30, 30, 30)), np.zeros((30, 30, 30), int)
    labels[14:16, 14:16, 14:16] = 16
    truth[labels == 16] = -2
    moment, streak = calcification(np.zeros(truth.shape), truth, labels)
    assert moment == pytest.approx(16)
    assert math.isnan(streak)


def test_moment_is_in_ppm_mm3(head):
    chi, truth, mask, labels = head
    one, eight = (evaluate(chi, truth, mask, labels, voxel_mm=(v,) * 3) for v in (1, 2))
    name = "calcification_moment_deviation"
    assert eight[name] == pytest.approx(8 * one[name])


def test_failed_and_missing_voxels_count_as_zero(head):
    chi, truth, mask, _ = head
    broken, zeroed = chi.copy(), chi.copy()
    broken[18:24], zeroed[18:24] = np.nan, 0
    score = evaluate(broken, truth, mask)
    assert score == pytest.approx(evaluate(zeroed, truth, mask))
    assert score["coverage"] == pytest.approx(1 - mask[18:24].sum() / mask.sum())


def test_agrees_with_the_public_scorer(head):
    """The QSM-CI package, where it is installed, gives the same numbers for every metric that both have."""
    score_arrays = pytest.importorskip("qsm_ci.qsm_eval").score_arrays
    chi, truth, mask, labels = head
    theirs, _ = score_arrays(chi, truth, mask.astype(np.uint8), seg=labels)
    ours = evaluate(chi, truth, mask, labels)
    names = {
        "nrmse": "nrmse",
        "nrmse_detrend": "nrmse_detrended",
        "nrmse_tissue": "nrmse_tissue",
        "nrmse_blood": "nrmse_blood",
        "nrmse_dgm": "nrmse_dgm",
        "dgm_linearity": "slope_deviation",
        "calc_moment_dev": "calcification_moment_deviation",
        "calc_streak": "calcification_streak",
        "correlation": "correlation",
        "xsim": "xsim_uniform5",
        "hfen": "hfen",
        "coverage": "coverage",
    }
    for name, own in names.items():
        assert ours[own] == pytest.approx(theirs[name], rel=1e-5), name


def test_regions(head):
    chi, truth, mask, labels = head
    table = region_means(chi, truth, mask, labels)
    assert table["putamen"]["voxels"] == (mask & (labels == 3)).sum()
    assert table["putamen"]["mean"] == pytest.approx(chi[mask & (labels == 3)].mean(), rel=1e-5)
    assert vessel_region(mask, labels).sum() > (mask & (labels == 11)).sum()


def test_source_separation_scores():
    labels = np.repeat([1, 2, 9], 100).reshape(3, 10, 10)
    truth = np.where(labels == 1, 0.1, np.where(labels == 2, 0.2, 0.001))
    mask = np.ones(labels.shape, bool)
    chi = np.where(labels == 1, 0.11, np.where(labels == 2, 0.16, 0.5))
    assert roi_percentage_error(chi, truth, mask, labels, (1, 2, 9)) == pytest.approx(100 * (0.1**2 + 0.2**2) / 2)
    assert leakage(chi, mask, labels, (9,)) == pytest.approx(0.5)
    assert math.isnan(leakage(chi, mask, labels, (16,)))


def test_refuses_what_cannot_be_scored(head):
    chi, truth, mask, _ = head
    with pytest.raises(ShapeError, match="truth has shape"):
        evaluate(chi, truth[1:], mask)
    with pytest.raises(InputError, match="mask is empty"):
        evaluate(chi, truth, np.zeros_like(mask))
    with pytest.raises(InputError, match="NaN"):
        evaluate(chi, np.full_like(truth, np.nan), mask)
