"""``report.html``: a single HTML file without scripts or external resources."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from edgeprune.bundle.budget_check import combined
from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.bundle.report_data import ReportData
from edgeprune.errors import BundleError
from edgeprune.profile import Profile
from edgeprune.profile.measured_limits import device_name, is_on_target, is_same_device
from edgeprune.profile.profile_result import DENSE
from edgeprune.report import quantity_text
from edgeprune.report.build_table import profiled, title
from edgeprune.report.components import ReportSource, Section, kind
from edgeprune.report.markup import Content, Markup, element, join
from edgeprune.report.result_warnings import result_warnings
from edgeprune.report.sections import SECTIONS

NAME = "report.html"
# Second line of defense after escaping: names in the page cannot load or run anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render(
    manifest: Manifest, data: ReportData, profile: Profile | None = None, measured_budgets: Sequence[BudgetReport] = ()
) -> str:
    """Return the HTML of the report page.

    Args:
        manifest: Manifest of the bundle.
        data: Content of ``report.json``.
        profile: Content of ``profile.json``; None if nothing was measured.
        measured_budgets: Results of the budgets on measured quantities; the manifest contains the others.
    """
    source = ReportSource(manifest, data, profile, combined(manifest.budgets, measured_budgets))
    sections = [section for make in SECTIONS if (section := make(source)) is not None]
    name = title(manifest)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{name} · EdgePrune"),
        element("style", _style()),
    )
    body = element("body", _header(source, sections), element("main", map(_section, sections)), _footer(manifest))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def of_bundle(folder: Path) -> str:
    """Return the HTML of the report page for the bundle ``folder``.

    Raises:
        BundleError: The folder is not a bundle, or one of its files is missing or damaged.
        InputError: The profile is damaged.
    """
    if not folder.is_dir():
        raise BundleError(
            f"cannot read {folder}: it is not a bundle: give the folder or the .tar.gz that a build created"
        )
    manifest = Manifest.load(folder)
    profile = None
    if manifest.profile is not None and (path := folder / manifest.profile.path).is_file():
        profile = Profile.load(path)
    data, measured_budgets = ReportData.load(folder), Measurements.load(folder).budgets
    return render(manifest, data, profile, measured_budgets)


@cache
def _style() -> Markup:
    return Markup(Path(__file__).with_name("style.css").read_text(encoding="utf-8"))


def _header(source: ReportSource, sections: list[Section]) -> Markup:
    missed = [budget.name for budget in source.budgets if not budget.ok]
    status = f"✗ missed: {', '.join(missed)}" if missed else "✓ all budgets kept"
    links = (element("li", element("a", section.title, href=f"#{section.name}")) for section in sections)
    return element(
        "header",
        element("p", "EdgePrune report", class_="over"),
        element("h1", source.manifest.recipe, element("span", " for "), source.manifest.target),
        element("p", status, class_=f"status {'bad' if missed else 'good'}"),
        [element("p", f"⚠ {warning.sentence}.", class_="bad warning") for warning in result_warnings(source.manifest)],
        element("ul", _headlines(source), class_="tiles"),
        _latency_note(source),
        element("nav", element("ul", links), aria_label="Sections"),
    )


def _headlines(source: ReportSource) -> list[Markup]:
    """Return the tiles with the main figures; for a microcontroller, RAM and flash come first."""
    dense, shipped = source.manifest.metrics.dense, source.manifest.metrics.shipped
    tiles = _board_tiles(source.manifest)
    tiles += [_tile("multiply-adds", _ratio(dense.macs, shipped.macs), quantity_text.count(shipped.macs), "exact")]
    if dense.file_bytes and shipped.file_bytes:
        change = _ratio(dense.file_bytes, shipped.file_bytes)
        tiles.append(_tile("file", change, quantity_text.size(shipped.file_bytes), "exact"))
    if dense.accuracy is not None and shipped.accuracy is not None:
        change = source.accuracy_change(shipped.accuracy - dense.accuracy)
        has_lost_accuracy = any(warning.code == "accuracy_lost" for warning in result_warnings(source.manifest))
        look = "bad" if has_lost_accuracy else ""
        tiles.append(_tile(source.manifest.metric, change, source.accuracy(shipped.accuracy), "measured", look))
    latency = _latency(source)
    return [*tiles, latency] if latency is not None else tiles


def _board_tiles(manifest: Manifest) -> list[Markup]:
    """Return the tiles for arena, flash and latency of a microcontroller; empty for another target."""
    board = manifest.microcontroller
    if board is None:
        return []
    shipped = board.shipped
    sizes = {
        "arena": (shipped.arena.arena_bytes, board.limits.get("arena_bytes")),
        "flash": (shipped.flash.flash_bytes, board.limits.get("flash_bytes")),
    }
    tiles = [
        _tile(name, quantity_text.size(size), "" if limit is None else f"of {quantity_text.size(limit)}", "estimated")
        for name, (size, limit) in sizes.items()
    ]
    latency = board.latency
    low, high = latency.low_ms, latency.high_ms
    band = latency.source if low is None or high is None else f"{low:.3g} to {high:.3g} ms"
    return [*tiles, _tile("latency", quantity_text.milliseconds(latency.latency_ms), band, latency.kind)]


def _latency(source: ReportSource) -> Markup | None:
    """Return the tile for the latency on the target, relative to dense if known; None if it was not measured there."""
    profile = source.profile
    if profile is None or not profile.models or not _is_of_target(source, profile):
        return None
    name = profiled(source.manifest, profile)
    after = profile.models.get(name, next(iter(profile.models.values()))).latency_ms
    change, value = quantity_text.milliseconds(after.p50), "median"
    reference = profile if DENSE in profile.models else profile.reference
    if (
        reference is not None
        and name in reference.models
        and (reference is profile or is_same_device(profile, reference))
    ):
        value = change
        change = _ratio(reference.models[DENSE].latency_ms.p50, reference.models[name].latency_ms.p50)
    return _tile(f"latency on {profile.device['uri']}", change, value, after.kind)


def _is_of_target(source: ReportSource, profile: Profile) -> bool:
    kinds = {model.latency_ms.kind for model in profile.models.values()}
    return kinds == {"measured"} and is_on_target(source.manifest.platform, profile)


def _latency_note(source: ReportSource) -> Content:
    """Return a note below the tiles if the latency was not measured on the target."""
    profile = source.profile
    if profile is None or not profile.models or _is_of_target(source, profile):
        return None
    kind_of_all = next(iter(profile.models.values())).latency_ms.kind
    note = f"Latency was {kind_of_all} on {device_name(profile)}, not measured on {source.manifest.target}."
    return element("p", note, class_="note")


def _tile(name: str, change: str, value: str, origin: str, look: str = "") -> Markup:
    return element(
        "li",
        element("span", name, class_="name"),
        element("span", change, class_=f"change {look}".rstrip()),
        element("span", value, " ", kind(origin), class_="value"),
    )


def _ratio(before: float, after: float) -> str:
    return f"{after / before:.2f}×" if before else "–"


def _section(section: Section) -> Markup:
    heading = f"{section.name}-title"
    return element(
        "section", element("h2", section.title, id=heading), section.body, id=section.name, aria_labelledby=heading
    )


def _footer(manifest: Manifest) -> Markup:
    kinds: list[Content] = [
        [kind("exact"), " counted in the network or the file. "],
        [kind("measured"), " measured on samples or on the named device. "],
        [kind("emulated"), " measured on an emulator of the device. "],
        [kind("estimated"), " computed from a model. "],
    ]
    return element("footer", element("p", join(kinds)), element("p", f"Written by EdgePrune {manifest.edgeprune}."))
