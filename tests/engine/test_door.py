"""Arrays of any layout, dtype and library come in; the map's come to the method."""

from typing import NamedTuple

import numpy as np
import pytest

from ferritin.door import through_the_door
from ferritin.errors import DeviceError, InputError, ParameterError, ShapeError
from ferritin.scan import Scan
from ferritin.stages import Record
from strict import xp as strict

SCAN = Scan((0.004, 0.012), 7.0, np.eye(4), (3, 4, 5))


class Result(NamedTuple):
    chi: object
    record: Record = Record()


@through_the_door
def seen(local_field, mask, scan, field_noise=None, *, factor=1.0):
    seen.arrays = local_field, mask, field_noise
    return Result(local_field * np.float32(factor))


def field(dtype=np.float32, order="C"):
    return np.arange(60).reshape(3, 4, 5).astype(dtype, order=order)


def test_the_right_array_passes_untouched():
    values, mask = field(), np.ones((3, 4, 5), bool)
    seen(values, mask, SCAN)
    assert seen.arrays[0] is values
    assert seen.arrays[1] is mask


def test_dtype_and_order_are_converted_once_and_inputs_stay():
    values, mask = field(np.float64, "F"), np.ones((3, 4, 5), np.uint8)
    seen(values, mask, scan=SCAN, field_noise=values)
    assert seen.arrays[0].dtype == seen.arrays[2].dtype == np.float32
    assert seen.arrays[0].flags.c_contiguous
    assert seen.arrays[1].dtype == bool
    assert values.dtype == np.float64


def test_wrong_shapes_and_complex_fields_are_refused():
    with pytest.raises(ShapeError, match=r"local_field has shape \(3, 4\)"):
        seen(np.zeros((3, 4)), np.ones((3, 4, 5), bool), SCAN)
    with pytest.raises(ShapeError, match=r"mask has shape \(2, 4, 5\), expected \(3, 4, 5\)"):
        seen(field(), np.ones((2, 4, 5), bool), SCAN)
    with pytest.raises(InputError, match="complex"):
        seen(field(np.complex64), np.ones((3, 4, 5), bool), SCAN)


def test_a_method_of_the_host_refuses_device_arrays():
    method = through_the_door(lambda local_field, scan: Result(local_field), host=True)
    assert method(field(), SCAN).chi.shape == (3, 4, 5)
    with pytest.raises(DeviceError, match=r"local_field is on a device \(strict\).*pass local_field.get\(\)"):
        method(strict.asarray(field()), SCAN)


def test_torch_comes_in_and_goes_out_without_a_copy():
    torch = pytest.importorskip("torch", reason="torch is an optional extra")
    values = torch.arange(60, dtype=torch.float32).reshape(3, 4, 5)
    result = seen(values, torch.ones(3, 4, 5, dtype=torch.bool), SCAN, factor=2)
    assert isinstance(result.chi, torch.Tensor)
    assert seen.arrays[0].__array_interface__["data"][0] == values.data_ptr()
    assert torch.equal(result.chi, 2 * values)


def test_torch_tensors_pass_through_the_methods_of_decay_and_field():
    torch = pytest.importorskip("torch", reason="torch is an optional extra")
    import ferritin_kernels
    from ferritin.registry import find, methods

    shape, t = (6, 7, 8), np.reshape((0.004, 0.009, 0.014, 0.019), (-1, 1, 1, 1))
    rng = np.random.default_rng(0)
    r2star, total = rng.uniform(10, 80, shape), rng.uniform(-20, 20, shape)
    phase = 2 * np.pi * t * total
    scan = Scan(tuple(t.ravel()), 3.0, np.eye(4), shape)
    host = {
        "echoes": (100 * np.exp(-t * r2star + 1j * phase)).astype(np.complex64),
        "unwrapped_phase": phase.astype(np.float32),
        "total_field": total.astype(np.float32),
        "mask": np.ones(shape, bool),
    }
    tensors = {name: torch.from_numpy(value) for name, value in host.items()}
    for m in methods("r2star") + methods("unwrap") + methods("field"):
        arguments = {n: tensors[n] for n in (*m.consumes, *m.optional) if n in tensors}
        arguments |= {"noise_sd": 1.0} if "noise_sd" in m.optional else {}
        there = m(**arguments, scan=scan)
        for name in m.produces:
            value = getattr(there, name)
            assert value is None or isinstance(value, torch.Tensor), f"{m.stage}.{m.name} gave a {type(value)}"
    fit = ferritin_kernels.monoexp(tensors["echoes"].numpy(), scan.te_s)
    shared = find("r2star", "nonlinear")(tensors["echoes"], tensors["mask"], scan, noise="plain")
    np.testing.assert_array_equal(shared.r2star.numpy(), fit.rate)


def test_what_is_not_a_number_outside_the_mask_is_zero_and_inside_is_refused():
    values, mask = field(), np.ones((3, 4, 5), bool)
    values[0, 0, 0], mask[0, 0, 0] = np.nan, False
    seen(values, mask, SCAN)
    assert seen.arrays[0][0, 0, 0] == 0
    assert np.isnan(values[0, 0, 0])
    values[1, 1, 1] = np.inf
    with pytest.raises(InputError, match="local_field is not a number in 1 voxels of the mask"):
        seen(values, mask, SCAN)
    noise = field() + 1
    noise[1, 1, 1] = 0
    seen(values, mask, SCAN, noise)
    assert seen.arrays[0][1, 1, 1] == 0


def test_a_word_that_is_no_choice_is_refused():
    import ferritin

    with pytest.raises(ParameterError, match="penalty = 'Gradient', expected gradient or identity"):
        ferritin.dipole.closed_form(field(), np.ones((3, 4, 5), bool), SCAN, penalty="Gradient")
    with pytest.raises(ParameterError, match="outside = 'free', expected auto or a number"):
        ferritin.dipole.tv(field(), np.ones((3, 4, 5), bool), SCAN, outside="free")
