"""Packages whose names are imported on first use."""

import importlib

import pytest

import edgeprune
from edgeprune.lazy_attributes import lazy_attributes


@pytest.mark.parametrize("package", ["edgeprune", "edgeprune.config", "edgeprune.profile"])
def test_every_public_name_of_a_lazy_package_can_be_imported(package: str) -> None:
    module = importlib.import_module(package)
    assert all(hasattr(module, name) for name in module.__all__)


def test_name_of_a_module_is_the_module() -> None:
    load = lazy_attributes("edgeprune", {"errors": "errors", "BudgetError": "errors"})
    assert load("errors") is importlib.import_module("edgeprune.errors")
    assert load("BudgetError") is edgeprune.errors.BudgetError


def test_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"edgeprune\b.*\bnothing\b"):
        edgeprune.nothing  # noqa: B018
