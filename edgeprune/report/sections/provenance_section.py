"""Section on the provenance and the files of the bundle."""

from __future__ import annotations

from edgeprune.report import quantity_text
from edgeprune.report.components import Column, ReportSource, Section, folded, table, terms
from edgeprune.report.markup import Content, Markup, element


def section(source: ReportSource) -> Section:
    """Return the section with versions, seed, commit, and the hashes of inputs and files."""
    manifest = source.manifest
    provenance = manifest.provenance
    pairs: list[tuple[Content, Content]] = [
        ("EdgePrune", manifest.edgeprune),
        ("Python", provenance.python),
        ("seed", str(provenance.seed)),
    ]
    if provenance.git is not None:
        pairs.append(
            ("git", [_hash(provenance.git.commit), " with uncommitted changes" if provenance.git.dirty else ""])
        )
    profile = source.profile
    if profile is not None and profile.models:
        device = (f"{name.replace('_', ' ')} {value}" for name, value in profile.device.items() if value)
        pairs.append(("measured on", ", ".join(device)))
    columns = (Column("name", False), Column("SHA-256", False))
    inputs = table("Inputs", columns, [[name, _hash(value)] for name, value in provenance.inputs.items()])
    packages = table(
        "Packages", (Column("name", False), Column("version", False)), [[*pair] for pair in provenance.packages.items()]
    )
    files = table(
        "Files of the bundle",
        (Column("file", False), Column("bytes"), Column("SHA-256", False)),
        [[path, quantity_text.size(entry.bytes), _hash(entry.sha256)] for path, entry in manifest.files.items()],
    )
    body = [terms(pairs), inputs, files, folded(f"{len(provenance.packages)} packages", packages)]
    return Section("provenance", "Provenance", body)


def _hash(value: str) -> Markup:
    return element("code", value, class_="hash")
