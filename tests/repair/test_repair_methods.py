"""Which repairs are made."""

from __future__ import annotations

import pytest

from edgeprune.errors import InputError
from edgeprune.repair import chosen_repairs


def test_auto_follows_data_and_training() -> None:
    assert chosen_repairs("auto", data=False) == ()
    assert "least_squares" in chosen_repairs("auto", data=True)
    assert "recalibrate" in chosen_repairs("auto", data=True, training=True)
    assert chosen_repairs(None, data=True) == ()
    assert chosen_repairs("bias", data=True) == ("bias",)


@pytest.mark.parametrize(
    ("repair", "data", "message"),
    [
        ("least_square", True, "'least_square'.*'auto', None,.* constants, bias"),
        (("bias", "least_squares"), True, "bias and least_squares"),
        (("recalibrate",), False, "repair: .*recalibrate.*data="),
    ],
)
def test_invalid_repair_method_is_refused(repair: str, data: bool, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chosen_repairs(repair, data=data)
