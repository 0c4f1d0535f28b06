"""``edgeprune profile``: a bundle or a model on devices."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import github_actions
from edgeprune.cli.console_output import echo, json_option, print_error, print_json, print_rich, print_text
from edgeprune.cli.progress_bar import bar
from edgeprune.errors import InputError
from edgeprune.overwrite_guard import PNG, PROFILE, TRACE, check_output_file, files_of

if TYPE_CHECKING:
    from edgeprune.profile import DeviceOutcome, Profile
    from edgeprune.profile.workload import Workload

_PATH = click.Path(path_type=Path)


@click.command("profile")
@click.argument("what", metavar="BUNDLE_OR_MODEL", type=_PATH)
@click.option("--device", "devices", multiple=True, metavar="URI", help="Where; can be given again. Default: local:")
@click.option("--baseline", type=_PATH, help="Another model, or the bundle to compare with, that takes turns.")
@click.option("--threads", type=click.IntRange(min=1), help="Of one inference; default: as the bundle's target says.")
@click.option("--runs", type=click.IntRange(min=1), help="Measured inferences of each model; a fast one makes more.")
@click.option("--blocks", type=click.IntRange(min=1), help="How often models take turns.")
@click.option("--warmup", type=click.IntRange(min=0), help="Unmeasured inferences before each block.")
@click.option("--noise", type=click.FloatRange(min=0), help="How far medians of blocks may lie apart: 0.1 is 10 %.")
@click.option("--retries", type=click.IntRange(min=0), help="How often what is too noisy is measured anew.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=1), help="Longest wait for one answer, in seconds.")
@click.option("--output", type=_PATH, help="File of the result; a folder for several devices. Default: in the bundle.")
@click.option("--png", type=_PATH, help="Draw latencies and layers; a folder for several devices.")
@click.option("--trace", type=_PATH, help="Write a Chrome trace, for chrome://tracing and ui.perfetto.dev.")
@json_option
def command(
    what: Path,
    devices: tuple[str, ...],
    baseline: Path | None,
    *,
    output: Path | None,
    png: Path | None,
    trace: Path | None,
    as_json: bool,
    **conditions: Any,
) -> int:
    """Measure latency and memory where a model will run.

    BUNDLE_OR_MODEL is the folder of a bundle or its .tar.gz, which runs its own runner, or an .onnx or .tflite file.
    The result of an archive is written beside it, such as digits-host-profile.json. A device is a URI, such as local:,
    ssh://pi@kitchen, serial:/dev/ttyACM0, emulator:raspberry-pi-4 or emulator:microcontroller, or a name in
    devices.toml. Several are measured at once.

    Measured on one device, the figures go into the bundle, and its budgets are judged by them: it ends with 4 where one
    is missed. It ends with 5 where a device failed, and with 6 where what was measured is not valid: the device
    throttled, it was too noisy, or the model answered something else than its bundle expects. Such figures never get
    into a bundle.

    \b
    Example:
      edgeprune profile dist/digits-raspberry-pi-4 --device ssh://pi@kitchen
      edgeprune profile dist/digits-host --baseline main/digits-host
      edgeprune profile dist/digits-raspberry-pi-4.tar.gz --device ssh://pi@kitchen
      edgeprune profile model.onnx --baseline dense.onnx --png latency.png
      edgeprune profile model.tflite --device serial:/dev/ttyACM0?baud=115200 --output board.json
    """
    from edgeprune.bundle.unpack import as_folder, is_archive
    from edgeprune.profile import profile_fleet
    from edgeprune.profile.workload import subject

    stack = click.get_current_context()  # archives stay extracted until the command ends
    folder = stack.with_resource(as_folder(what))
    found = subject(folder, None if baseline is None else stack.with_resource(as_folder(baseline)))
    names = list(dict.fromkeys(devices)) or ["local:"]
    given = {name: value for name, value in conditions.items() if value is not None}
    for path, kind in ((trace, TRACE), (output, PROFILE), (png, PNG)):
        if path is not None and not path.is_dir():
            check_output_file(path, kind, inputs=_inputs(what, baseline))
    files = _Files(names, found, output, png, archive=what if is_archive(what) else None)
    with bar("profile") as progress:
        outcomes = profile_fleet(found, names, progress=progress, **given)
    outcomes = [_with_reference(outcome, found.bundle) for outcome in outcomes]
    for outcome in outcomes:
        files.write(outcome)
    measured = [outcome.profile for outcome in outcomes if outcome.profile is not None]
    if trace is not None and measured:
        _write_trace(trace, measured)
    if as_json:
        reports = [_report(outcome, found, files.written.get(outcome.device)) for outcome in outcomes]
        print_json(reports[0] if len(reports) == 1 else reports)
    else:
        _show(outcomes, found, files)
    missed = _judged(found, files, as_json=as_json)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        print_error(str(outcome.error) if len(outcomes) == 1 else f"{outcome.device}: {outcome.error}")
    return max((outcome.error.exit_code for outcome in failed if outcome.error is not None), default=missed)


def _inputs(*paths: Path | None) -> list[Path]:
    """Files that no output may overwrite: the models, and all files of bundles but their profiles."""
    return [file for path in paths for file in files_of(path) if not file.match("profile*.json")]


def _judged(found: Workload, files: _Files, *, as_json: bool) -> int:
    """Show the verdicts on the budgets of a bundle that holds a new profile; the exit code by them."""
    if not files.judged or found.bundle is None or found.manifest is None:
        return 0
    from edgeprune.bundle.budget_check import combined, missed
    from edgeprune.bundle.measurements import Measurements
    from edgeprune.errors import BudgetError
    from edgeprune.report import budget_output

    budgets, metric = combined(found.manifest.budgets, Measurements.load(found.bundle).budgets), found.manifest.metric
    if not as_json:
        print_rich(budget_output.render(budgets, metric))
    github_actions.summarise(lambda: budget_output.markdown(budgets, metric))
    failures = [budget_output.sentence(report, metric) for report in missed(budgets)]
    if failures:
        print_error(f"budget missed: {'; '.join(failures)}")
    return BudgetError.exit_code if failures else 0


class _Files:
    """Output files of results and pictures, checked to be writable before anything is measured."""

    def __init__(
        self, names: list[str], found: Workload, output: Path | None, png: Path | None, *, archive: Path | None = None
    ) -> None:
        self._archive = archive
        self._several = len(names) > 1
        self._slugs = _slugs(names)
        self._found = found
        self._output = output
        self._png = png
        self.written: dict[str, Path] = {}
        self.judged = False
        for given, option in ((output, "--output"), (png, "--png")):
            if given is None:
                continue
            folder = given if self._several else given.parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise click.UsageError(f"{option}: cannot use {folder}: {error.strerror}") from error
            if not self._several and given.is_dir():
                raise click.UsageError(f"{option}: {given} is a folder; one device gives one file")
        for slug in self._slugs.values():
            for given, kind, suffix in ((output, PROFILE, "json"), (png, PNG, "png")):
                if given is not None and self._several:
                    check_output_file(given / f"{slug}.{suffix}", kind)

    def write(self, outcome: DeviceOutcome) -> None:
        """Write what one device gave."""
        from edgeprune.bundle.unpack import beside
        from edgeprune.files import write_atomic
        from edgeprune.report import profile_output

        profile = outcome.profile
        if profile is None:
            return
        slug = self._slugs[outcome.device]
        if self._output is not None:
            path = self._output / f"{slug}.json" if self._several else self._output
            write_atomic(path, profile.to_json())
            self.written[outcome.device] = path
        elif self._found.bundle is not None and outcome.error is None:
            written = self._into_bundle(self._found.bundle, slug, profile)
            if self._archive is not None:  # it stays as it is
                written = beside(self._archive, written.name)
                write_atomic(written, profile.to_json())
            self.written[outcome.device] = written
        if self._png is not None:
            write_atomic(self._png / f"{slug}.png" if self._several else self._png, profile_output.png(profile))

    def _into_bundle(self, bundle: Path, slug: str, profile: Profile) -> Path:
        """One device's result is the profile of the bundle, with verdicts by it; those of several lie beside it."""
        from edgeprune.bundle import measurements, report_data
        from edgeprune.profile.measured_limits import judge
        from edgeprune.report import report_page

        assert self._found.manifest is not None
        if self._several:
            name = f"profile-{slug}.json"
            measurements.replace(bundle, {name: profile.to_json()})
            return bundle / name
        name = "profile.json"
        verdicts = judge(self._found.manifest, profile)
        measurements.replace(bundle, {name: profile.to_json()}, verdicts)
        self.judged = True
        if (bundle / report_data.NAME).is_file():
            measurements.replace(bundle, {report_page.NAME: report_page.of_bundle(bundle)})
        return bundle / name


def _with_reference(outcome: DeviceOutcome, bundle: Path | None) -> DeviceOutcome:
    """The outcome, with what the bundle's profile so far has of the dense network."""
    from edgeprune.profile import Profile

    path = None if bundle is None else bundle / "profile.json"
    if path is None or not path.is_file() or outcome.profile is None:
        return outcome
    earlier = Profile.from_json(path.read_text(encoding="utf-8"), where=path)
    return replace(outcome, profile=outcome.profile.with_reference(earlier))


def _slugs(names: list[str]) -> dict[str, str]:
    """A name of a file for each device."""
    found: dict[str, str] = {}
    for name in names:
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", name.partition("?")[0]).strip("-.") or "device"
        taken = set(found.values())
        found[name] = slug if slug not in taken else f"{slug}-{len(found)}"
    return found


def _write_trace(path: Path, measured: list[Profile]) -> None:
    from edgeprune.files import write_atomic
    from edgeprune.profile import chrome_trace

    try:
        write_atomic(path, chrome_trace.to_json(measured))
    except OSError as error:
        raise InputError(f"--trace: cannot write {path}: {error.strerror}") from error


def _report(outcome: DeviceOutcome, found: Workload, written: Path | None) -> dict[str, Any]:
    from edgeprune.profile.measured_limits import device_name, is_on_target

    error, profile, manifest = outcome.error, outcome.profile, found.manifest
    of_target = None if profile is None or manifest is None else is_on_target(manifest.platform, profile)
    return {
        "target": None if manifest is None else manifest.target,
        "measured_on": None if profile is None else device_name(profile),
        "measured_on_target": of_target,
        "device": outcome.device,
        "file": None if written is None else str(written),
        "error": None if error is None else {"message": str(error), "exit_code": error.exit_code},
        "profile": None if outcome.profile is None else json.loads(outcome.profile.to_json()),
    }


def _show(outcomes: list[DeviceOutcome], found: Workload, files: _Files) -> None:
    from edgeprune.report import profile_output

    for outcome in outcomes:
        if outcome.profile is not None:
            echo(profile_output.describe(outcome.profile))
            print_rich(profile_output.render(outcome.profile))
            print_text("\n".join(profile_output.notes(outcome.profile, found.manifest)))
            if outcome.device in files.written:
                echo(f"written {files.written[outcome.device]}")
