"""``sbom.json``: software bill of materials of a build in CycloneDX format (https://cyclonedx.org/docs/1.6/json/).

The file is reproducible for the same packages and inputs. Its serial number is derived from its content, and it
contains a time only if ``SOURCE_DATE_EPOCH`` is set.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from urllib.parse import quote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from edgeprune.bundle.manifest import Provenance

NAME = "sbom.json"
_SPECIFICATION = "1.6"
_SERIALS = uuid.UUID("8f0c8a52-6d0e-5c3a-9a57-3f1f3f0d9f11")
"""Namespace of the serial numbers: a fixed random UUID."""


def text(name: str, provenance: Provenance, *, epoch: int | None = None) -> str:
    """Return the text of ``sbom.json``.

    It lists EdgePrune, the packages in ``provenance`` and their installed dependencies without extras. It also lists
    the hashes of the inputs: weights, data and code.

    Args:
        name: Name of the bundle.
        provenance: Provenance of the build.
        epoch: Time of the build in seconds since 1970; None omits it.
    """
    packages = installed(["edgeprune", *provenance.packages])
    python = {
        "type": "platform",
        "bom-ref": f"pkg:generic/python@{provenance.python}",
        "name": "python",
        "version": provenance.python,
        "purl": f"pkg:generic/python@{provenance.python}",
    }
    inputs = [
        {
            "type": "data" if kind == "data" else "file",
            "bom-ref": f"input:{kind}",
            "name": kind,
            "hashes": [{"alg": "SHA-256", "content": content}],
        }
        for kind, content in sorted(provenance.inputs.items())
    ]
    libraries = [_library(package) for _, package in sorted(packages.items())]
    bundle, edgeprune = f"bundle:{name}", packages["edgeprune"]
    dependencies = {
        bundle: [_reference(edgeprune), python["bom-ref"], *(f"input:{kind}" for kind in provenance.inputs)],
        **{
            _reference(package): [_reference(packages[need]) for need in package.needs if need in packages]
            for package in packages.values()
        },
    }
    metadata: dict[str, Any] = {
        "lifecycles": [{"phase": "build"}],
        "tools": {
            "components": [{"type": "application", "name": "edgeprune", "version": packages["edgeprune"].version}]
        },
        "component": {"type": "machine-learning-model", "bom-ref": bundle, "name": name},
    }
    if epoch is not None:
        created = datetime.fromtimestamp(epoch, timezone.utc)
        metadata = {"timestamp": created.strftime("%Y-%m-%dT%H:%M:%SZ"), **metadata}
    content = {
        "metadata": metadata,
        "components": [*libraries, python, *inputs],
        "dependencies": [{"ref": ref, "dependsOn": sorted(on)} for ref, on in sorted(dependencies.items())],
    }
    head = {
        "$schema": f"http://cyclonedx.org/schema/bom-{_SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SERIALS, json.dumps(content, sort_keys=True))}",
        "version": 1,
    }
    return json.dumps({**head, **content}, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Package:
    """Metadata of an installed package.

    Attributes:
        name: Canonical name.
        version: Version.
        needs: Canonical names of its dependencies in this environment, without extras.
        license: SPDX expression; None where the package has none.
    """

    name: str
    version: str
    needs: tuple[str, ...]
    license: str | None


def installed(names: Iterable[str]) -> dict[str, Package]:
    """Return the named packages and all their dependencies without extras, by canonical name."""
    packages: dict[str, Package] = {}
    todo: list[str] = [canonicalize_name(name) for name in names]
    while todo:
        name = todo.pop()
        if name in packages:
            continue
        package = _package(name)
        if package is not None:
            packages[name] = package
            todo.extend(package.needs)
    return packages


@cache
def _package(name: str) -> Package | None:
    """Return the metadata of a package; None if it is not installed, as when another platform needs it."""
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return None
    metadata = package.metadata  # parsed by each access
    licenses = metadata.get_all("License-Expression", ())
    return Package(
        name=canonicalize_name(metadata["Name"]),
        version=metadata["Version"],
        needs=tuple(_needs(package.requires or ())),
        license=licenses[0] if licenses else None,
    )


def _needs(requirements: Iterable[str]) -> list[str]:
    names: set[str] = set()
    for line in requirements:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:  # old metadata, which pip reads no better
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            names.add(canonicalize_name(requirement.name))
    return sorted(names)


def _library(package: Package) -> dict[str, Any]:
    component = {
        "type": "library",
        "bom-ref": _reference(package),
        "name": package.name,
        "version": package.version,
        "purl": _reference(package),
    }
    return {**component, "licenses": [{"expression": package.license}]} if package.license else component


def _reference(package: Package) -> str:
    return f"pkg:pypi/{package.name}@{quote(package.version, safe='.-_~!')}"
