"""``edgeprune profile``: measure a bundle or a model on devices."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import github_actions
from edgeprune.cli.console_output import echo, json_option, print_error, print_json, print_rich, print_text
from edgeprune.cli.help_sections import Command
from edgeprune.cli.measurement_options import measurement_options
from edgeprune.cli.progress_bar import bar
from edgeprune.errors import InputError
from edgeprune.overwrite_guard import PNG, PROFILE, TRACE, check_output_file, files_of

if TYPE_CHECKING:
    from edgeprune.profile import DeviceOutcome, Profile
    from edgeprune.profile.workload import Workload

_PATH = click.Path(path_type=Path)


@click.command("profile", cls=Command, exit_codes=(4, 5, 6))
@click.argument("what", metavar="BUNDLE_OR_MODEL", type=_PATH)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="URI",
    help="Device to measure on; can be repeated.  [default: local:]",
)
@click.option("--baseline", type=_PATH, help="Model or bundle to compare with, measured in alternating blocks.")
@measurement_options
@click.option("--output", type=_PATH, help="Output file; a folder for several devices.  [default: in the bundle]")
@click.option("--png", type=_PATH, help="Plot latencies and layers to this file; a folder for several devices.")
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
    """Measure the latency and memory of a model on devices.

    BUNDLE_OR_MODEL is the folder of a bundle or its .tar.gz, or an .onnx or .tflite file. A bundle is measured with the
    runner that it contains. The result for an archive is written next to it, such as digits-host-profile.json. A device
    is a URI, such as local:, ssh://pi@kitchen, serial:/dev/ttyACM0, emulator:raspberry-pi-4 or
    emulator:microcontroller, or a name in devices.toml. Several devices are measured in parallel.

    The result for a single device is written to the bundle, and its budgets are checked again. The exit code is 4 if a
    budget is missed, 5 if a device failed, and 6 if a measurement is not valid: the device throttled, the timings were
    too noisy, or the outputs differed from those in the bundle. A measurement that is not valid is never written to a
    bundle.

    \b
    Example:
      edgeprune profile dist/digits-raspberry-pi-4 --device ssh://pi@kitchen
      edgeprune profile dist/digits-host --baseline main/digits-host
      edgeprune profile dist/digits-host.tar.gz --device ssh://pi@kitchen
      edgeprune profile model.onnx --baseline dense.onnx --png latency.png
      edgeprune profile model.tflite --device serial:/dev/ttyACM0 \\
          --output board.json
    """
    from edgeprune.bundle.unpack import as_folder, is_archive
    from edgeprune.profile import profile_fleet
    from edgeprune.profile.workload import load_workload

    stack = click.get_current_context()  # archives stay extracted until the command ends
    folder = stack.with_resource(as_folder(what))
    workload = load_workload(folder, None if baseline is None else stack.with_resource(as_folder(baseline)))
    names = list(dict.fromkeys(devices)) or ["local:"]
    options = {name: value for name, value in conditions.items() if value is not None}
    for path, kind in ((trace, TRACE), (output, PROFILE), (png, PNG)):
        if path is not None and not path.is_dir():
            check_output_file(path, kind, inputs=_inputs(what, baseline))
    files = _Files(names, workload, output, png, archive=what if is_archive(what) else None)
    with bar("profile") as progress:
        outcomes = profile_fleet(workload, names, progress=progress, **options)
    outcomes = [_with_reference(outcome, workload.bundle) for outcome in outcomes]
    for outcome in outcomes:
        files.write(outcome)
    measured = [outcome.profile for outcome in outcomes if outcome.profile is not None]
    if trace is not None and measured:
        _write_trace(trace, measured)
    if as_json:
        reports = [_report(outcome, workload, files.written.get(outcome.device)) for outcome in outcomes]
        print_json(reports[0] if len(reports) == 1 else reports)
    else:
        _show(outcomes, workload, files)
    missed = _check_limit(workload, files, as_json=as_json)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        print_error(str(outcome.error) if len(outcomes) == 1 else f"{outcome.device}: {outcome.error}")
    return max((outcome.error.exit_code for outcome in failed if outcome.error is not None), default=missed)


def _inputs(*paths: Path | None) -> list[Path]:
    """Return the files that no output may overwrite: models, and all files of bundles except their profiles."""
    return [file for path in paths for file in files_of(path) if not file.match("profile*.json")]


def _check_limit(workload: Workload, files: _Files, *, as_json: bool) -> int:
    """Print the budget results of a bundle with a new profile, and return the exit code."""
    if not files.has_budget_results or workload.bundle is None or workload.manifest is None:
        return 0
    from edgeprune.bundle.budget_check import combined, missed
    from edgeprune.bundle.measurements import Measurements
    from edgeprune.errors import BudgetError
    from edgeprune.report import budget_output

    budgets, metric = (
        combined(workload.manifest.budgets, Measurements.load(workload.bundle).budgets),
        workload.manifest.metric,
    )
    if not as_json:
        print_rich(budget_output.render(budgets, metric))
    github_actions.summarise(lambda: budget_output.markdown(budgets, metric))
    failures = [budget_output.sentence(report, metric) for report in missed(budgets)]
    if failures:
        print_error(f"budget missed: {'; '.join(failures)}")
    return BudgetError.exit_code if failures else 0


class _Files:
    """Output files of results and pictures, which are checked before the measurement."""

    def __init__(
        self,
        names: list[str],
        workload: Workload,
        output: Path | None,
        png: Path | None,
        *,
        archive: Path | None = None,
    ) -> None:
        self._archive = archive
        self._several = len(names) > 1
        self._slugs = _slugs(names)
        self._workload = workload
        self._output = output
        self._png = png
        self.written: dict[str, Path] = {}
        self.has_budget_results = False
        for path, option in ((output, "--output"), (png, "--png")):
            if path is None:
                continue
            folder = path if self._several else path.parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise click.UsageError(f"{option}: cannot use {folder}: {error.strerror}") from error
            if not self._several and path.is_dir():
                raise click.UsageError(f"{option}: expected a file for a profile of one device, got the folder {path}")
        for slug in self._slugs.values():
            for path, kind, suffix in ((output, PROFILE, "json"), (png, PNG, "png")):
                if path is not None and self._several:
                    check_output_file(path / f"{slug}.{suffix}", kind)

    def write(self, outcome: DeviceOutcome) -> None:
        """Write the result of one device."""
        from edgeprune.bundle.unpack import sibling_path
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
        elif self._workload.bundle is not None and outcome.error is None:
            written = self._into_bundle(self._workload.bundle, slug, profile)
            if self._archive is not None:  # the archive is not changed
                written = sibling_path(self._archive, written.name)
                write_atomic(written, profile.to_json())
            self.written[outcome.device] = written
        if self._png is not None:
            write_atomic(self._png / f"{slug}.png" if self._several else self._png, profile_output.png(profile))

    def _into_bundle(self, bundle: Path, slug: str, profile: Profile) -> Path:
        """Write a result to the bundle and return its path.

        The result of a single device is the profile of the bundle, and its budgets are checked again. The results of
        several devices are additional files.
        """
        from edgeprune.bundle import measurements, report_data
        from edgeprune.profile.measured_limits import check_limits
        from edgeprune.report import report_page

        assert self._workload.manifest is not None
        if self._several:
            name = f"profile-{slug}.json"
            measurements.replace(bundle, {name: profile.to_json()})
            return bundle / name
        name = "profile.json"
        budgets = check_limits(self._workload.manifest, profile)
        measurements.replace(bundle, {name: profile.to_json()}, budgets)
        self.has_budget_results = True
        if (bundle / report_data.NAME).is_file():
            measurements.replace(bundle, {report_page.NAME: report_page.of_bundle(bundle)})
        return bundle / name


def _with_reference(outcome: DeviceOutcome, bundle: Path | None) -> DeviceOutcome:
    """Add the figures of the dense network from the existing profile of the bundle to ``outcome``."""
    from edgeprune.profile import Profile

    path = None if bundle is None else bundle / "profile.json"
    if path is None or not path.is_file() or outcome.profile is None:
        return outcome
    earlier = Profile.from_json(path.read_text(encoding="utf-8"), where=path)
    return replace(outcome, profile=outcome.profile.with_reference(earlier))


def _slugs(names: list[str]) -> dict[str, str]:
    """Return a file name without suffix for each device."""
    slugs: dict[str, str] = {}
    for name in names:
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", name.partition("?")[0]).strip("-.") or "device"
        used_slugs = set(slugs.values())
        slugs[name] = slug if slug not in used_slugs else f"{slug}-{len(slugs)}"
    return slugs


def _write_trace(path: Path, measured: list[Profile]) -> None:
    from edgeprune.files import write_atomic
    from edgeprune.profile import chrome_trace

    try:
        write_atomic(path, chrome_trace.to_json(measured))
    except OSError as error:
        raise InputError(f"--trace: cannot write {path}: {error.strerror}") from error


def _report(outcome: DeviceOutcome, workload: Workload, written: Path | None) -> dict[str, Any]:
    from edgeprune.profile.measured_limits import device_name, is_on_target

    error, profile, manifest = outcome.error, outcome.profile, workload.manifest
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


def _show(outcomes: list[DeviceOutcome], workload: Workload, files: _Files) -> None:
    from edgeprune.report import profile_output

    for outcome in outcomes:
        if outcome.profile is not None:
            echo(profile_output.describe(outcome.profile))
            print_rich(profile_output.render(outcome.profile))
            print_text("\n".join(profile_output.notes(outcome.profile, workload.manifest)))
            if outcome.device in files.written:
                echo(f"written {files.written[outcome.device]}")
