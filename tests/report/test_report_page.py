"""The page: what it tells, and that no name of a recipe, layer or device can do anything in it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgeprune.bundle.manifest import Platform
from edgeprune.bundle.measurements import Measurements
from edgeprune.bundle.report_data import ReportData
from edgeprune.cli import run
from edgeprune.errors import BundleError, InputError
from edgeprune.report import report_page
from tests.report.samples import facts, manifest, profile

_SECTIONS = (
    "summary", "waterfall", "layers", "rounds", "latency", "memory", "importance", "sensitivity", "frozen", "parity",
    "precision", "provenance",
)  # fmt: skip
_HOSTILE = "</style></title><script>alert(1)</script><img src=http://x.test/y onerror=alert(2)>\" onload='alert(3)\x00"
_EMPTY = {"meta", "link", "br", "col"}


class _Outline(HTMLParser):
    """Tags, attributes, and whether every element that begins also ends."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.sections: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag == "section":
            self.sections.append(dict(attrs)["id"] or "")
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(page: str) -> _Outline:
    result = _Outline()
    result.feed(page)
    result.close()
    assert result.open == []
    return result


def bundle(folder: Path, name: str = "net") -> Path:
    """A bundle as far as a report looks at it."""
    output = manifest(name).model_dump(mode="json") | {"profile": {"path": "profile.json"}}
    (folder / "manifest.json").write_text(json.dumps(output))
    (folder / "report.json").write_text(facts(name).to_json())
    (folder / "profile.json").write_text(profile(name).to_json())
    return folder


def test_every_section_is_there_and_linked() -> None:
    page = report_page.render(manifest(), facts(), profile())
    assert tuple(outline(page).sections) == _SECTIONS
    assert re.findall(r'<a href="#(\w+)"', page) == list(_SECTIONS)
    for name in _SECTIONS:
        assert f'aria-labelledby="{name}-title"' in page
        assert f'<h2 id="{name}-title">' in page


@pytest.mark.parametrize("name", ["net", _HOSTILE])
def test_page_has_no_scripts_and_no_external_resources(name: str) -> None:
    page = report_page.render(manifest(name), facts(name), profile(name))
    result = outline(page)
    assert not result.tags & {"script", "img", "iframe", "object", "embed", "base", "form", "foreignobject", "use"}
    assert not [key for key, _ in result.attributes if key.startswith("on") or key in ("src", "srcset", "xlink:href")]
    assert all(value.startswith(("#", "data:")) for key, value in result.attributes if key == "href")
    assert not re.search(r"@import|url\(", page)
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert "\x00" not in page
    assert page.count("<style>") == page.count("</style>") == 1


def test_hostile_names_change_no_structure() -> None:
    plain = outline(report_page.render(manifest("net"), facts("net"), profile("net")))
    hostile = outline(report_page.render(manifest(_HOSTILE), facts(_HOSTILE), profile(_HOSTILE)))
    assert [key for key, _ in hostile.attributes] == [key for key, _ in plain.attributes]


def test_numbers_carry_units_and_say_where_they_come_from() -> None:
    page = report_page.render(manifest(), facts(), profile())
    for text in ("62.7 M", "452.3 kB", "−1.14 points", "89.10 %", "0.500×", "1.25 ms"):
        assert text in page, text
    for text in (
        "fisher scores",
        "global selection",
        "latency p95",
        "rounds 3",
        "2.147 GB of memory",
        "clock 1500 MHz",
        "int8 is faster, says net",
    ):
        assert text in page, text
    for kind in ("exact", "measured", "estimated"):
        assert f'class="kind {kind}">{kind}<' in page
    assert "No float16: no layer in float16" in page
    assert "output of layer" in page


def test_the_verdict_is_in_words() -> None:
    remaining, missed = (report_page.render(manifest(ok=ok), facts(), profile()) for ok in (True, False))
    assert "✓ all budgets kept" in remaining
    assert "missed" not in remaining
    assert "✗ missed: latency_ms.p95" in missed


def test_page_without_a_profile_has_no_latencies() -> None:
    page = report_page.render(manifest(), facts(), None)
    assert tuple(outline(page).sections) == _SECTIONS
    assert "Nothing was measured." in page
    assert "No device reported the memory of the process." in page
    assert "latency on" not in page


def test_device_state_is_shown() -> None:
    page = report_page.render(manifest(), facts(), profile("Cortex"))
    for text in (
        "These figures may be used",
        "dense 1.2 %, int8 3.0 % (at most 10 % is allowed)",
        "int8 on 32 samples",
    ):
        assert text in page, text
    for text in ("3 layers take 1 ms; the slowest is conv, 0.5 ms", "soft temperature limit", "1400 MHz", "energy, mJ"):
        assert text in page, text
    assert "reported no layer times" not in page
    judged = profile("Cortex").validity
    assert judged is not None
    free = dataclasses.replace(profile("Cortex"), validity=dataclasses.replace(judged, noise_limit=None))
    assert "The noise was not checked" in report_page.render(manifest(), facts(), free)
    invalid = report_page.render(manifest(), facts(), profile("Cortex", valid=False))
    assert "✗ Not valid: Cortex was throttled." in invalid
    assert "may be used" not in invalid


def test_measurement_on_another_device_is_an_estimate() -> None:
    there = manifest().model_copy(update={"platform": Platform(runtime="onnxruntime", architecture="aarch64")})
    here = dataclasses.replace(profile(), device={**profile().device, "machine": "x86_64"})
    assert "For board these are estimates: it does not run on x86_64." in report_page.render(there, facts(), here)
    assert "latency" not in tiles(report_page.render(there, facts(), here))
    assert "measured on this machine (x86_64), not measured on board" in report_page.render(there, facts(), here)
    there = there.model_copy(update={"platform": Platform(runtime="onnxruntime", architecture="x86_64")})
    assert "estimates" not in report_page.render(there, facts(), here)
    assert "latency" in tiles(report_page.render(there, facts(), here))


def tiles(page: str) -> str:
    """The headline figures of a page."""
    return page.partition('class="tiles"')[2].partition("</ul>")[0]


def test_an_emulated_latency_is_no_headline() -> None:
    emulated = {
        name: dataclasses.replace(model, latency_ms=dataclasses.replace(model.latency_ms, kind="emulated"))
        for name, model in profile().models.items()
    }
    page = report_page.render(manifest(), facts(), dataclasses.replace(profile(), models=emulated))
    assert "latency" not in tiles(page)


def test_the_dense_network_of_an_earlier_profile_is_shown_with_its_device() -> None:
    built = dataclasses.replace(profile(), device={**profile().device, "machine": "x86_64", "fingerprint": "f"})
    board = dataclasses.replace(
        profile("Cortex"),
        device={**profile("Cortex").device, "uri": "ssh://pi@kitchen", "machine": "aarch64", "fingerprint": "g"},
        models={"int8": profile().models["int8"]},
        ratios={},
    )
    output = manifest().model_copy(update={"platform": Platform(runtime="onnxruntime", architecture="aarch64")})
    page = report_page.render(output, facts(), board.with_reference(built))
    assert "latency on ssh://pi@kitchen" in tiles(page)
    assert "\N{MULTIPLICATION SIGN}" not in tiles(page).partition("latency on")[2]  # no ratio across machines
    assert "Comparison with the dense network" in page
    assert "Latency, median, on this machine (x86_64)" in page
    # On one device the earlier ratio is that of the headline.
    same = dataclasses.replace(board, device={**board.device, "fingerprint": "f"})
    assert (
        "\N{MULTIPLICATION SIGN}"
        in tiles(report_page.render(output, facts(), same.with_reference(built))).partition("latency on")[2]
    )


def test_unknown_device_state_is_omitted() -> None:
    whole = profile()
    models = {name: dataclasses.replace(model, layers=None, energy_mj=None) for name, model in whole.models.items()}
    bare = dataclasses.replace(whole, models=models, environment=None, validity=None)
    page = report_page.render(manifest(), facts(), bare)
    assert "The device reported no layer times." in page
    for text in ("energy", "may be used", "State of the device"):
        assert text not in page, text


@pytest.mark.parametrize("names", [("int8",), ("dense", "int8"), ("pruned",), ("dense", "pruned")])
def test_a_device_may_have_run_some_of_the_models(names: tuple[str, ...]) -> None:
    whole = profile()
    some = dataclasses.replace(whole, models={name: whole.models[name] for name in names}, ratios={})
    page = report_page.render(manifest(), facts(), some)
    assert tuple(outline(page).sections) == _SECTIONS
    assert "latency on local:" in page
    assert ("Latency, median, on local:" in page) == ("dense" in names)
    assert ("local:, in float32" in page) == (names == ("dense", "pruned"))


def test_one_shot_without_training_without_scores() -> None:
    no_scores = {"remaining_scores": (), "removed_scores": ()}
    bare = facts().model_copy(
        update={
            "steps": (), "epochs": (), "start": None, "calls": (), "layers": (),
            "groups": tuple(group.model_copy(update=no_scores) for group in facts().groups),
            "sensitivity": None,
        }
    )  # fmt: skip
    page = report_page.render(manifest(), bare, profile())
    assert tuple(outline(page).sections) == _SECTIONS
    for text in (
        "everything was removed in one step",
        "not trained after pruning",
        "does not score units",
        "has no activations",
    ):
        assert text in page, text


def test_scores_of_zero_and_below() -> None:
    def with_scores(*scores: float) -> str:
        groups = [facts().groups[0].model_copy(update={"remaining_scores": scores, "removed_scores": ()})]
        return report_page.render(manifest(), facts().model_copy(update={"groups": tuple(groups)}), None)

    assert "scores below 1 are drawn at the left edge" in with_scores(0.0, 1.0, 2.0)
    assert "logarithmic of" in with_scores(1.0, 2.0).replace(",", "")
    assert "scores below 0.1 are drawn" in with_scores(1e-20, *[1.0] * 99)
    assert "linear" in with_scores(-1.0, 2.0)
    assert "linear" in with_scores(0.0, 0.0)


def test_every_group_frozen() -> None:
    groups = tuple(group.model_copy(update={"frozen": "asked for"}) for group in facts().groups)
    assert "No group could be pruned." in report_page.render(
        manifest(), facts().model_copy(update={"groups": groups}), None
    )


def test_a_large_network_stays_small_and_quick() -> None:
    started = time.process_time()
    page = report_page.render(manifest(), facts(layers=200, units=512, rounds=20), profile(runs=2000))
    assert len(page.encode()) < 2_000_000
    assert time.process_time() - started < 60  # hangs nowhere; it takes about a second


def test_facts_are_read_back_as_written(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(facts().to_json())
    assert ReportData.load(tmp_path) == facts()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "build the bundle again"),
        ("no", "is not a report"),
        ("[]", "is not a report"),
        ("{}", "'schema'"),
        ('{"schema": 3}', "schema 2"),
        ('{"schema": 2}', "settings"),
    ],
)
def test_a_damaged_report_file_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(BundleError, match=r"report\.json") as raised:
        ReportData.load(tmp_path)
    assert message in str(raised.value)


def test_the_command_draws_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = bundle(tmp_path)
    assert run(["report", str(folder), "--json"]) == 0
    values: dict[str, Any] = json.loads(capsys.readouterr().out)
    written = (folder / "report.html").read_bytes()
    assert values == {"report": str(folder / "report.html"), "bytes": len(written)}
    assert written.decode() == report_page.of_bundle(folder)
    assert Measurements.load(folder).files["report.html"].sha256 == hashlib.sha256(written).hexdigest()
    assert run(["report", str(folder), "--output", str(tmp_path / "elsewhere.html")]) == 0
    assert str(tmp_path / "elsewhere.html") in capsys.readouterr().out
    assert (tmp_path / "elsewhere.html").read_bytes() == written


def test_the_command_needs_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path / "none")]) == 3
    assert str(tmp_path / "none") in capsys.readouterr().err
    assert run(["report", str(tmp_path)]) == 3
    assert "manifest.json" in capsys.readouterr().err
    folder = bundle(tmp_path)
    (folder / "profile.json").write_text("{}")
    with pytest.raises(InputError, match=r"profile\.json"):
        report_page.of_bundle(folder)
    (folder / "profile.json").unlink()
    assert "Nothing was measured." in report_page.of_bundle(folder)


def _replace(values: Any, path: str, value: object) -> None:
    *parents, last = path.split(".")
    for key in parents:
        values = values[int(key)] if isinstance(values, list) else values[key]
    values[int(last) if isinstance(values, list) else last] = value


@pytest.mark.parametrize(
    ("file", "path", "value"),
    [
        ("report.json", "sensitivity.groups.0.points", []),
        ("report.json", "sensitivity.groups.0.units", 0),
        ("report.json", "groups.0.units", 0),
        ("report.json", "layers.0.macs", []),
        ("report.json", "layers.0.macs.0", 10**400),
        ("report.json", "calls.0.bytes.0", 10**400),
        ("report.json", "settings.hardware", {"ram_bytes": "much"}),
        ("report.json", "start", 1e300),
        ("manifest.json", "metrics.dense.macs", 10**400),
        ("manifest.json", "metrics.shipped.file_bytes", 10**400),
        ("manifest.json", "metrics.shipped.accuracy", 1.5),
        ("manifest.json", "pairs", {"only_dense": 20_000, "only_shipped": 0}),
        ("manifest.json", "profile", {"path": "../profile.json"}),
        ("manifest.json", "profile", {"path": "a" * 5000}),
        ("profile.json", "device", {}),
        ("profile.json", "device.uri", None),
    ],
)
def test_values_that_no_report_can_show_end_with_3(tmp_path: Path, file: str, path: str, value: object) -> None:
    folder = bundle(tmp_path)
    values = json.loads((folder / file).read_text())
    _replace(values, path, value)
    (folder / file).write_text(json.dumps(values))
    assert run(["report", str(folder)]) == 3


def test_sensitivity_section_shows_curves_and_selection() -> None:
    page = report_page.render(manifest(), facts(layers=2, units=16), None)
    assert "Increase of the loss on 119 validation samples" in page
    assert "each chart goes from 0 to 0.24 on a square-root scale" in page  # 12 of 16 units at 0.02 each
    assert "without 12 of 16 units the loss increases by 0.12" in page
    assert "<strong>layer0</strong> −50 %" in page
    without = report_page.render(manifest(), facts().model_copy(update={"sensitivity": None}), None)
    assert "The sensitivity was not measured." in without
