"""The plan takes just the stages that the targets need."""

from types import SimpleNamespace

import pytest

from ferritin.errors import UnknownMethodError
from ferritin.run.plan import DEFAULT_TARGETS, make_plan, targets_until


def plan_of(targets, available, settings=(), n_echoes=4, shape=(8, 8, 8)):
    scan = SimpleNamespace(n_echoes=n_echoes, shape=shape)
    return make_plan(targets, available, scan, dict(settings))


def stages(targets, available, **more):
    return [step.stage for step in plan_of(targets, available, **more).steps]


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
    found = stages(("r2star", "chi"), {"echoes", "mask"}, settings=settings)
    assert found.index("unwrap") < found.index("r2star")
    assert stages(("r2star",), {"echoes", "mask"}, settings=settings) == ["unwrap", "r2star"]


def test_an_option_may_need_another_stage():
    """R2* corrected for the field's gradient needs the field, which then is made first, whoever asked for it."""
    settings = {"r2star": {"gradient": "box"}}
    assert stages(("r2star",), {"echoes", "mask"}, settings=settings) == ["field", "r2star"]
    found = stages(("r2star", "chi"), {"echoes", "mask"}, settings=settings)
    assert found.index("field") < found.index("r2star") < found.index("background")


def test_what_is_given_is_not_made_again():
    assert stages(("chi",), {"local_field", "mask"}) == ["dipole"]
    assert stages(("chi",), {"total_field", "mask"}) == ["refine", "background", "dipole"]
    assert stages(("chi",), {"total_field", "mask", "field_mask"}) == ["background", "dipole"]


def test_one_echo_says_which_maps_it_cannot_give_and_why():
    plan = plan_of(DEFAULT_TARGETS, {"raw"}, n_echoes=1)
    assert set(plan.missing) == {"r2star", "total_field", "field_mask", "local_field", "chi"}
    assert all("the scan has 1" in why for why in plan.missing.values())
    assert [step.stage for step in plan.steps] == ["image", "coils", "mask"]


def test_a_thin_slab_has_no_local_field_but_all_else():
    plan = plan_of(DEFAULT_TARGETS, {"raw"}, shape=(64, 64, 2))
    assert set(plan.missing) == {"field_mask", "local_field", "chi"}
    assert all("the scan has 2" in why for why in plan.missing.values())
    assert [step.stage for step in plan.steps] == ["image", "coils", "mask", "r2star", "field"]


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UnknownMethodError, match="total_field"):
        targets_until("everything")


def test_a_given_mask_asks_for_no_stage_behind_it():
    """A mask that was given asks neither for the stage that makes it nor for the echoes behind that."""
    given = {"chi", "r2prime", "local_mask"}
    plan = plan_of(("chi_positive",), given, {"sources": {"method": "closed_form"}}, n_echoes=0)
    assert [step.stage for step in plan.steps] == ["sources"]
    assert not plan.missing
