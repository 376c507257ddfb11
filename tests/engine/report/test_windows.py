"""Windows are the same for every head of one field strength, and numbers become the right levels."""

import numpy as np
import pytest

from ferritin.report.charts import number, scale, summary
from ferritin.report.windows import Window, nice, palette, window_of
from ferritin.scan import Scan


def scan(b0):
    return Scan([0.01, 0.02], b0, np.eye(4), (4, 4, 4))


@pytest.mark.parametrize(
    ("name", "b0", "low", "high"),
    [("chi", 7, -0.15, 0.15), ("r2star", 7, 0, 100), ("r2star", 3, 0, 50), ("total_field", 7, -100, 100),
     ("local_field", 7, -15, 15), ("total_field", 3, -40, 40)],
)  # fmt: skip
def test_fixed_windows_follow_the_field_strength_alone(name, b0, low, high):
    for values in (np.zeros(3), np.array([1e6]), np.zeros(0)):
        window = window_of(name, scan(b0), values)
        assert (window.low, window.high) == pytest.approx((low, high))


def test_windows_of_arbitrary_units_fit_the_values():
    assert window_of("s0", scan(3), np.linspace(0, 1000, 101)).high == 1500
    assert window_of("s0", scan(3), np.zeros(5)).high == 1


@pytest.mark.parametrize(("value", "expected"), [(0.97, 1), (1.04, 1.5), (149, 150), (23.8, 25), (0.0061, 0.006)])
def test_nice_numbers(value, expected):
    assert nice(value) == pytest.approx(expected)


def test_levels_run_over_the_window_and_stop_at_its_ends():
    levels = Window(-1, 1, "ppm").levels(np.array([-5, -1, 0, 1, 5, np.nan]))
    np.testing.assert_array_equal(levels, [0, 0, 127, 255, 255, 0])


def test_zero_is_dark_in_diverging_colours():
    brightness = palette("diverging").sum(axis=1)
    assert brightness.argmin() == pytest.approx(127.5, abs=4)


def test_the_scale_says_what_lies_beyond():
    values = np.concatenate([np.zeros(98), [9, -9]])
    drawn = scale(values, Window(-1, 1, "ppm"), "ppm")
    assert drawn.count("1 % beyond") == 2
    assert "−0.5" in drawn


@pytest.mark.parametrize(("value", "said"), [(-0.01234, "−0.0123"), (1234.5, "1234"), (1e7, "1e+07"), (0.0, "0")])
def test_numbers_are_short(value, said):
    assert number(value) == said


def test_summary_is_of_the_values():
    said = dict(summary(np.arange(101.0)))
    assert said == {"median": "50", "5–95 %": "5 … 95", "range": "0 … 100"}
    assert summary(np.zeros(0)) == [("values", "none")]


def test_huge_infinite_and_missing_values_are_shown_at_the_ends():
    values = np.array([-3e38, -np.inf, np.nan, 3e38, np.inf], np.float32)
    assert Window(-0.15, 0.15, "ppm").levels(values).tolist() == [0, 0, 0, 255, 255]
