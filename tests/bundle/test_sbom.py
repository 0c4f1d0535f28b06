"""The bill of materials: what CycloneDX 1.6 asks for, what is installed here, and the same whenever it is the same."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import pytest

from edgeprune.bundle import sbom
from edgeprune.bundle.manifest import Provenance

_PROVENANCE = Provenance(
    packages={"torch": version("torch"), "onnxruntime": version("onnxruntime")},
    python="3.11.7",
    seed=0,
    inputs={"weights": "1" * 64, "data": "2" * 64},
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    values: dict[str, Any] = json.loads(sbom.text("digits-host", _PROVENANCE, epoch=1_700_000_000))
    return values


def test_sbom_has_the_required_fields(document: dict[str, Any]) -> None:
    """The official schema found nothing to complain of, with jsonschema 4; these are its requirements that apply."""
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(
        r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", document["serialNumber"]
    )
    assert document["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert document.keys() <= {
        "$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata", "components", "dependencies",
    }  # fmt: skip
    kinds = {"library", "platform", "data", "file"}
    for component in document["components"]:
        assert component["type"] in kinds
        assert component["name"]
        assert set(component) <= {"type", "bom-ref", "name", "version", "purl", "licenses", "hashes"}
        for item in component.get("hashes", ()):
            assert item["alg"] == "SHA-256"
            assert re.fullmatch(r"[0-9a-f]{64}", item["content"])
    references = [component["bom-ref"] for component in document["components"]]
    references.append(document["metadata"]["component"]["bom-ref"])
    assert len(set(references)) == len(references)
    for dependency in document["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= set(references)


def test_sbom_packages_have_versions_and_dependencies(document: dict[str, Any]) -> None:
    by_name = {component["name"]: component for component in document["components"]}
    torch = version("torch")
    assert by_name["torch"]["version"] == torch
    assert by_name["torch"]["purl"] == f"pkg:pypi/torch@{quote(torch)}"
    assert "+" not in by_name["torch"]["purl"]
    assert by_name["python"]["version"] == "3.11.7"
    assert by_name["sympy"]["version"] == version("sympy")  # torch needs it, nothing names it
    needs = {dependency["ref"]: dependency["dependsOn"] for dependency in document["dependencies"]}
    assert by_name["sympy"]["purl"] in needs[by_name["torch"]["purl"]]
    assert by_name["numpy"]["licenses"][0]["expression"].startswith("BSD-3-Clause")
    assert "pytest" not in by_name  # of an extra


def test_inputs_have_their_hashes(document: dict[str, Any]) -> None:
    by_name = {component["name"]: component for component in document["components"]}
    assert by_name["weights"]["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]
    assert (by_name["weights"]["type"], by_name["data"]["type"]) == ("file", "data")
    bundle = document["metadata"]["component"]["bom-ref"]
    (of_bundle,) = [one["dependsOn"] for one in document["dependencies"] if one["ref"] == bundle]
    assert {"input:weights", "input:data"} <= set(of_bundle)


@pytest.mark.long
def test_sbom_differs_only_with_its_content() -> None:
    one = sbom.text("digits-host", _PROVENANCE)
    assert sbom.text("digits-host", _PROVENANCE) == one
    assert "timestamp" not in json.loads(one)["metadata"]
    other = _PROVENANCE.model_copy(update={"inputs": {"weights": "3" * 64}})
    assert json.loads(sbom.text("digits-host", other))["serialNumber"] != json.loads(one)["serialNumber"]


def test_packages_that_are_not_installed_are_left_out() -> None:
    result = sbom.installed(["numpy", "No_Such.Package"])
    assert result.keys() == {"numpy"}
