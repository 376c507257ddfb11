"""Every verdict on maps made so that the right one is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from ferritin.report.verdicts import Verdict, judge, worst
from ferritin.scan import Scan

SHAPE = (56, 60, 52)
VOXEL_MM = 3.0
TE_S = (0.004, 0.012, 0.020)
RNG = np.random.default_rng(0)


def head():
    """A sphere of 1.2 litres at 7 T with a paramagnetic core of high R2*."""
    x, y, z = np.meshgrid(*(VOXEL_MM * (np.arange(n) - n / 2 + 0.5) for n in SHAPE), indexing="ij")
    r = np.sqrt(x * x + y * y + z * z)
    mask, core = r < 66, r < 20
    scan = Scan(TE_S, 7.0, np.diag((VOXEL_MM, VOXEL_MM, VOXEL_MM, 1)), SHAPE)
    noise = RNG.normal(size=SHAPE).astype(np.float32)
    maps = {
        "mask": mask,
        "field_mask": r < 64,
        "local_mask": r < 60,
        "r2star": ((35 + 50 * core + noise) * mask).astype(np.float32),
        "r2star_se": (2.0 * mask).astype(np.float32),
        "total_field": ((0.3 * x + noise) * mask).astype(np.float32),
        "field_noise": (1.0 * mask).astype(np.float32),
        "local_field": (5 * noise * mask).astype(np.float32),
        "chi": ((0.1 * core + 0.02 * noise) * (r < 60)).astype(np.float32),
    }
    return SimpleNamespace(scan=scan, artifacts=maps)


def verdicts(maps):
    return {v.name: v for v in judge(maps)}


def test_a_good_head_passes_every_check():
    found = verdicts(head())
    assert len(found) == 12
    assert {v.level for v in found.values()} == {"ok"}
    assert found["mask volume"].value == pytest.approx(4 / 3 * np.pi * 66**3 / 1000, rel=0.01)


def change(maps, name, function):
    maps.artifacts[name] = function(maps.artifacts[name])


@pytest.mark.parametrize(
    ("verdict", "name", "function", "level"),
    [
        ("sign of the phase", "chi", lambda x: -x, "fail"),
        ("sign of the phase", "chi", lambda x: x * 0, "warn"),
        ("finite values", "r2star", lambda x: np.where(x > 80, np.nan, x), "fail"),
        ("mask volume", "mask", lambda x: x & False, "fail"),
        ("R2* range", "r2star", lambda x: 10 * x, "warn"),
        ("R2* precision", "r2star_se", lambda x: 10 * x, "warn"),
        ("field noise", "field_noise", lambda x: 5 * x, "warn"),
        ("field noise", "field_noise", lambda x: 50 * x, "fail"),
        ("field trusted", "field_mask", lambda x: x & (np.arange(SHAPE[2]) < 26), "warn"),
        ("field trusted", "field_mask", lambda x: x & False, "fail"),
        ("local field size", "local_field", lambda x: 100 * x, "fail"),
        ("mask left", "local_mask", lambda x: x & False, "fail"),
        ("susceptibility range", "chi", lambda x: 10 * x, "warn"),
        ("susceptibility range", "chi", lambda x: 0 * x, "warn"),
    ],
)
def test_each_fault_is_seen(verdict, name, function, level):
    maps = head()
    change(maps, name, function)
    assert verdicts(maps)[verdict].level == level


def test_an_unknown_standard_error_is_no_fault():
    maps = head()
    maps.artifacts["r2star_se"][:] = np.nan
    found = verdicts(maps)
    assert found["finite values"].level == "ok"
    assert "R2* precision" not in found


def test_half_an_island_is_seen():
    maps = head()
    maps.artifacts["mask"][:, 25:30] = False
    assert verdicts(maps)["mask in one piece"].level == "warn"


def test_wraps_are_counted_exactly():
    maps = head()
    hz = 1 / (TE_S[1] - TE_S[0])
    maps.artifacts["mask"][:] = maps.artifacts["field_mask"][:] = True
    field = np.zeros(SHAPE, np.float32)
    field[20:40, 10:30, 5:25] = hz
    maps.artifacts["total_field"] = field
    faces = 2 * 3 * 20 * 20
    pairs = sum((n - 1) * np.prod(SHAPE) / n for n in SHAPE)
    found = verdicts(maps)["wraps in the field"]
    assert found.value == pytest.approx(faces / pairs)
    assert found.level == "warn"


def test_one_voxel_in_so_many_gives_the_same_verdicts_on_a_fine_grid():
    coarse, fine = head(), head()
    for name, values in fine.artifacts.items():
        fine.artifacts[name] = np.repeat(np.repeat(np.repeat(values, 3, 0), 3, 1), 3, 2)
    shape = tuple(3 * n for n in SHAPE)
    fine.scan = fine.scan.replace(shape=shape, affine=np.diag((1, 1, 1, 1.0)))
    a, b = verdicts(coarse), verdicts(fine)
    for name in ("mask volume", "sign of the phase", "R2* range", "local field size"):
        assert b[name].value == pytest.approx(a[name].value, rel=0.05)


def test_checks_without_their_maps_are_left_out():
    maps = head()
    maps.artifacts = {"r2star": maps.artifacts["r2star"], "echoes": np.zeros((3, *SHAPE), np.complex64)}
    assert set(verdicts(maps)) == {"finite values"}
    maps.artifacts = {}
    assert judge(maps) == ()


def test_the_worst_level_counts():
    assert worst([]) is None
    assert worst([Verdict("a", "", "ok", ""), Verdict("b", "", "fail", ""), Verdict("c", "", "warn", "")]) == "fail"


@pytest.mark.parametrize(("sign", "level"), [(1, "ok"), (-1, "fail")])
def test_dephased_voxels_at_the_rim_do_not_hide_the_sign(sign, level):
    """Beside air R2* is higher than any tissue's, whatever chi is there."""
    maps = head()
    mask = maps.artifacts["local_mask"]
    rim = mask & ~np.roll(mask, 2, 1)  # a shell as thick as a sinus' shadow, with the opposite chi
    maps.artifacts["r2star"][rim] = 300
    maps.artifacts["chi"][rim] = -0.2
    maps.artifacts["chi"] *= sign
    assert verdicts(maps)["sign of the phase"].level == level
