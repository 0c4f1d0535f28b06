"""From what the bundle was made, and what it holds."""

from __future__ import annotations

from edgeprune.report import quantity_text
from edgeprune.report.components import Column, ReportSource, Section, folded, table, terms
from edgeprune.report.markup import Content, Markup, element


def section(source: ReportSource) -> Section:
    """Versions, seed, commit, and the hashes of what went in and came out."""
    manifest = source.manifest
    found = manifest.provenance
    pairs: list[tuple[Content, Content]] = [
        ("EdgePrune", manifest.edgeprune),
        ("Python", found.python),
        ("seed", str(found.seed)),
    ]
    if found.git is not None:
        pairs.append(("git", [_hash(found.git.commit), " with changes" if found.git.dirty else ""]))
    profile = source.profile
    if profile is not None and profile.models:
        device = (f"{name.replace('_', ' ')} {value}" for name, value in profile.device.items() if value)
        pairs.append(("measured on", ", ".join(device)))
    columns = (Column("name", False), Column("SHA-256", False))
    inputs = table("Inputs", columns, [[name, _hash(value)] for name, value in found.inputs.items()])
    packages = table(
        "Packages", (Column("name", False), Column("version", False)), [[*pair] for pair in found.packages.items()]
    )
    files = table(
        "Files of the bundle",
        (Column("file", False), Column("bytes"), Column("SHA-256", False)),
        [[path, quantity_text.size(entry.bytes), _hash(entry.sha256)] for path, entry in manifest.files.items()],
    )
    body = [terms(pairs), inputs, files, folded(f"{len(found.packages)} packages", packages)]
    return Section("provenance", "Provenance", body)


def _hash(value: str) -> Markup:
    return element("code", value, class_="hash")
