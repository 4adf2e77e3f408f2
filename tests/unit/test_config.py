"""Settings: what wins over what, and that nothing changes on the way to a job."""

import pytest
from pydantic import ValidationError

from cellseg.config import SegmentationSettings
from cellseg.preprocess_config import PreprocessSettings
from cellseg.types import STAINS

GIVEN = [
    {},
    {"threshold": {"method": "fixed", "value": 149}},
    {"threshold": {"smooth_um": 1.0, "channel": "red"}},
    {"threshold": {"smooth_um": 1.0}, "by_stain": {"giemsa": {"smooth_um": 0.1}}},
]


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("stain", STAINS)
def test_settings_mean_the_same_after_a_round_trip(given, stain):
    settings = SegmentationSettings.model_validate(given)
    again = SegmentationSettings.model_validate(settings.model_dump(mode="json"))
    assert again.for_stain(stain) == settings.for_stain(stain)


def test_a_key_that_is_given_wins_over_the_defaults_by_stain():
    assert SegmentationSettings().for_stain("giemsa").channel == "green"
    fixed = SegmentationSettings.model_validate(GIVEN[1]).for_stain("giemsa")
    assert (fixed.method, fixed.value, fixed.signal_channel) == ("fixed", 149, "gray")
    assert SegmentationSettings.model_validate(GIVEN[2]).for_stain("giemsa").smooth_um == 1.0


def test_by_stain_that_is_given_wins_over_threshold():
    settings = SegmentationSettings.model_validate(GIVEN[3])
    assert (settings.for_stain("giemsa").smooth_um, settings.for_stain("he").smooth_um) == (0.1, 1.0)


@pytest.mark.parametrize("rgb", [(-1, 200, 200), (0, 200, 200), (200, 256, 200)])
def test_glass_is_a_gray_level(rgb):
    with pytest.raises(ValidationError, match="background_rgb"):
        PreprocessSettings(background_rgb=rgb)
