"""Every quality has its code, and every code its meaning."""

from __future__ import annotations

import re

import pytest

from grid_assets.metering.vee import quality_codes as codes


def test_the_codes_of_the_standard_stand_for_their_qualities():
    assert codes.code_of(codes.MEASURED, codes.AS_ARRIVED) == "3.0.0"
    assert codes.code_of(codes.MEASURED, codes.REGISTER) == "3.0.0"
    assert codes.code_of(codes.MEASURED, codes.AS_ARRIVED, power_failed=True) == "1.2.32"
    assert codes.code_of(codes.EDITED, codes.SCALED_WH) == codes.code_of(codes.EDITED, codes.CORRECTION) == "3.7.0"
    assert codes.code_of(codes.MISSING, codes.AS_ARRIVED) == "2.5.259"
    assert codes.code_of(codes.MISSING, codes.AS_ARRIVED, refused=codes.REASONABILITY) == "3.5.259"
    assert codes.code_of(codes.MISSING, codes.AS_ARRIVED, refused=codes.FAILED) == "3.6.0"


@pytest.mark.parametrize("method", codes.ESTIMATED_CODES)
def test_every_estimate_is_of_category_eight_and_has_its_own_code(method):
    assert codes.code_of(codes.ESTIMATED, method).startswith("3.8.")
    assert len(set(codes.ESTIMATED_CODES.values())) == len(codes.ESTIMATED_CODES)


def test_every_code_that_can_be_published_has_a_meaning():
    assert set(codes.CODES) <= codes.MEANINGS.keys()
    assert all(re.fullmatch(r"\d\.\d+\.\d+", code) for code in codes.MEANINGS)
    assert len(set(codes.CODES)) == len(codes.CODES)
