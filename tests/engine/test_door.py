"""Arrays of any layout, dtype and library come in; the map's come to the method."""

from typing import NamedTuple

import numpy as np
import pytest

from ferritin.door import through_the_door
from ferritin.errors import DeviceError, InputError, ShapeError
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
