"""The plan takes just the stages that the targets need."""

import pytest

from ferritin.errors import UnknownMethodError
from ferritin.run.plan import DEFAULT_TARGETS, make_plan, targets_until


def stages(targets, available, n_echoes=4):
    return [step.stage for step in make_plan(targets, available, n_echoes, {}).steps]


def test_raw_to_everything_runs_every_main_stage_in_order():
    found = stages(DEFAULT_TARGETS, {"raw"})
    assert found[:3] == ["image", "coils", "mask"]
    assert found[-2:] == ["background", "dipole"]


def test_until_runs_only_what_is_needed():
    assert stages(targets_until("r2star"), {"raw"}) == ["image", "coils", "mask", "r2star"]
    assert stages(targets_until("mask"), {"echoes"}) == ["mask"]
    assert "dipole" not in stages(targets_until("total_field"), {"echoes"})


def test_a_stage_follows_what_its_method_reads():
    """R2* from magnitudes comes early; from complex echoes it needs the phase without wraps, so it comes later."""
    settings = {"r2star": {"method": "complex"}}
    found = [step.stage for step in make_plan(("r2star", "chi"), {"echoes", "mask"}, 4, settings).steps]
    assert found.index("unwrap") < found.index("r2star")
    assert [s.stage for s in make_plan(("r2star",), {"echoes", "mask"}, 4, settings).steps] == ["unwrap", "r2star"]


def test_what_is_given_is_not_made_again():
    assert stages(("chi",), {"local_field", "mask"}) == ["dipole"]
    assert stages(("chi",), {"total_field", "mask"}) == ["refine", "background", "dipole"]
    assert stages(("chi",), {"total_field", "mask", "field_mask"}) == ["background", "dipole"]


def test_one_echo_says_which_maps_it_cannot_give_and_why():
    plan = make_plan(DEFAULT_TARGETS, {"raw"}, 1, {})
    assert set(plan.missing) == {"r2star", "total_field", "field_mask", "local_field", "chi"}
    assert all("the scan has 1" in why for why in plan.missing.values())
    assert [step.stage for step in plan.steps] == ["image", "coils", "mask"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownMethodError, match="total_field"):
        targets_until("everything")


def test_a_given_mask_asks_for_no_stage_behind_it():
    """A mask that was given asks neither for the stage that makes it nor for the echoes behind that."""
    plan = make_plan(("chi_positive",), {"chi", "r2prime", "local_mask"}, 0, {"sources": {"method": "closed_form"}})
    assert [step.stage for step in plan.steps] == ["sources"]
    assert not plan.missing
