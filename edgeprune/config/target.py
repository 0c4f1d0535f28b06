"""Target: the device and runtime of a build, in ``targets/<name>.toml``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, Field, model_validator

from edgeprune.config import file_lookup
from edgeprune.config.hardware_settings import HardwareSettings, MicrocontrollerSettings
from edgeprune.config.setting_types import Positive
from edgeprune.config.settings_base import Name, Settings, nearest, read_toml, validate
from edgeprune.errors import TargetError

Precision = Literal["float32", "float16", "int8"]


def _specifier(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError("a range of versions such as '>=1.17,<2'") from None
    return text


class RuntimeSettings(Settings):
    """Runtime that executes the model.

    Attributes:
        name: Name of the runtime, which is the name of a backend.
        others: Other runtimes of the device, which ``build --runtime`` accepts.
        versions: Versions of the runtime that the target is valid for, in the syntax of pip: ``>=1.17,<2``.
        precisions: Supported precisions, float32 first; measurements decide which one is selected.
        threads: Number of threads of one inference. None: one for each core of the machine.
        spinning: Whether threads wait actively for work, which is faster unless other programs need the cores.
        align: Multiple of channels with which the kernels run best.
        align_int8: Multiple of channels if int8 is required. None: ``align``.
        options: Settings of the backend by name; each backend checks its own.
    """

    name: Name = "onnxruntime"
    others: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    versions: Annotated[str, AfterValidator(_specifier)] = ""
    precisions: Annotated[tuple[Precision, ...], Field(strict=False, min_length=1)] = ("float32",)
    threads: Positive | None = None
    spinning: bool = True
    align: Positive = 1
    align_int8: Positive | None = None
    options: Mapping[str, str | int | float | bool] = {}


class OnnxSettings(Settings):
    """ONNX operators and opsets that the runtime supports.

    Attributes:
        opset: Opset of exported models; every supported runtime reads opset 17.
        opset_max: Highest opset that the runtime reads. None: unknown.
        unsupported: Operators without a kernel in the runtime.
        slow: Operators that are slow in the runtime.
        remarks: Remedy or reason for each of these operators.
    """

    opset: Annotated[int, Field(ge=17, le=23)] = 17
    opset_max: Annotated[int, Field(ge=17)] | None = None
    unsupported: Annotated[tuple[str, ...], Field(strict=False)] = ()
    slow: Annotated[tuple[str, ...], Field(strict=False)] = ()
    remarks: Mapping[str, str] = {}


class ParitySettings(Settings):
    """Allowed differences between the exported model and the PyTorch model.

    Attributes:
        max_error: Largest absolute difference of an output, relative to the largest absolute reference output.
        channel_error: Largest absolute difference of a channel of an output, relative to the largest absolute reference
            value of that channel.
        int8_channel_error: Value of ``channel_error`` for an int8 model. A build warns about outputs that exceed it.
        top1_agreement: Minimum fraction of equal classes, one for each label.
        int8_top1_agreement: Value of ``top1_agreement`` for an int8 model.
        accuracy_drop: Maximum accuracy drop of a float model, as a fraction of the samples. The recipe has that of
            int8.
    """

    max_error: Annotated[float, Field(gt=0)] = 1e-3
    channel_error: Annotated[float, Field(gt=0)] = 0.1
    int8_channel_error: Annotated[float, Field(gt=0)] = 0.5
    top1_agreement: Annotated[float, Field(ge=0, le=1)] = 0.99
    int8_top1_agreement: Annotated[float, Field(ge=0, le=1)] = 0.9
    accuracy_drop: Annotated[float, Field(ge=0, le=1)] = 0.005


class ProfileSettings(Settings):
    """Measurement of latency and memory.

    Attributes:
        warmup: Number of unmeasured inferences at the start of each block.
        runs: Number of measured inferences for each model, over all blocks.
        blocks: Number of interleaved blocks of each model, so that drift affects all models.
        noise: Maximum spread of the medians of a model's blocks, relative to their median, for ``edgeprune profile``.
        retries: Number of repetitions of measurements that are too noisy.
    """

    warmup: Annotated[int, Field(ge=0)] = 20
    runs: Positive = 300
    blocks: Positive = 3
    noise: Annotated[float, Field(gt=0)] = 0.1
    retries: Annotated[int, Field(ge=0)] = 2


class Target(Settings):
    """A target file: the device and runtime that a network is built for.

    Attributes:
        name: Name of the target, the last part of the name of the bundle: letters, digits, ``.``, ``_`` and ``-``.
        aliases: Other names for ``--target``.
        description: One line for lists of targets.
        sources: Addresses of the documents that the facts in the file are from.
        microcontroller: Memory and speed of a microcontroller; None for a device with an operating system.
    """

    name: Name
    aliases: Annotated[tuple[str, ...], Field(strict=False)] = ()
    description: str = ""
    sources: Annotated[tuple[str, ...], Field(strict=False)] = ()
    hardware: HardwareSettings = HardwareSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    onnx: OnnxSettings = OnnxSettings()
    parity: ParitySettings = ParitySettings()
    profile: ProfileSettings = ProfileSettings()
    microcontroller: MicrocontrollerSettings | None = None

    @model_validator(mode="after")
    def _whole_board(self) -> Target:
        hardware = self.hardware
        if self.microcontroller is not None and (hardware.clock_mhz is None or hardware.flash_bytes is None):
            raise ValueError(
                "a target with hardware.clock_mhz and hardware.flash_bytes, as it has the table [microcontroller]"
            )
        return self

    @property
    def limits(self) -> dict[str, int]:
        """Limits of a microcontroller's memory, by cost name; empty for other targets."""
        board, flash = self.microcontroller, self.hardware.flash_bytes
        if board is None or flash is None:
            return {}
        return {"arena_bytes": board.arena_bytes, "flash_bytes": flash - board.reserved_flash_bytes}

    @property
    def ms_per_mac(self) -> float | None:
        """Estimated milliseconds of one multiply-add on a microcontroller; None for other targets."""
        board, clock_mhz = self.microcontroller, self.hardware.clock_mhz
        return None if board is None or clock_mhz is None else board.cycles_per_mac.typical / (clock_mhz * 1e3)

    @property
    def labels(self) -> tuple[str, ...]:
        """Name and aliases."""
        return (self.name, *self.aliases)

    @property
    def latency_table(self) -> Path | None:
        """Latency table in ``targets/tables`` of the working folder, otherwise in the package; None if missing."""
        tables = (folder / "tables" / f"{self.name}.json" for folder in file_lookup.folders("targets"))
        return next((path for path in tables if path.is_file()), None)

    def require_latency_table(self) -> Path:
        """Path of the latency table of this target.

        Raises:
            TargetError: The target has no latency table.
        """
        table = self.latency_table
        if table is None:
            raise TargetError(
                f"target {self.name}: budget.latency_ms needs a latency table, but this target has none: measure it "
                f"with 'edgeprune calibrate --target {self.name}' and the same recipe or --model as the build"
            )
        return table

    def with_runtime(self, name: str) -> Target:
        """Return the same board with another runtime; the name of its bundles contains both.

        Raises:
            TargetError: The board does not have this runtime.
        """
        runtime = self.runtime
        if name == runtime.name:
            return self
        if name not in runtime.others:
            labels = ", ".join((runtime.name, *runtime.others))
            raise TargetError(f"runtime of target {self.name}: got '{name}', must be one of {labels}")
        changed = runtime.model_dump() | {"name": name, "others": (), "versions": "", "options": {}}
        return self.parse(
            # Settings for the board, such as a budget, apply with any runtime.
            self.model_dump() | {"name": f"{self.name}-{name}", "aliases": self.labels, "runtime": changed},
            where=self.name,
        )

    @classmethod
    def load(cls, name_or_path: str | Path) -> Target:
        """Load a target: an explicit path of a ``.toml`` file, a name or alias in ``./targets``, then in the package.

        Raises:
            TargetError: The name is unknown (the message lists the known ones), or the file is not valid (the message
                lists every problem).
        """
        path = Path(name_or_path)
        if path.suffix == ".toml" and path.is_file():
            return cls._read(path)
        name = str(name_or_path)
        available = cls.available()
        if name in available:
            return cls._read(available[name])
        targets = map(cls._read, available.values())
        by_label = {label: target for target in targets for label in target.labels}
        if name in by_label:
            return by_label[name]
        near = nearest(name, list(by_label))
        hint = f"; did you mean '{near}'?" if near else ""
        raise TargetError(
            f"unknown target '{name}': expected the path of a .toml file, or one of the known targets "
            f"({', '.join(available) or 'none'}){hint}"
        )

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, where: str) -> Target:
        """Create a target from the tables of a file; ``where`` names their origin in messages."""
        return validate(cls, values, where=where, error=TargetError)

    @classmethod
    def available(cls) -> dict[str, Path]:
        """Return the target files by name: those in ``targets/`` of the working folder and the packaged ones."""
        files: dict[str, Path] = {}
        for folder in file_lookup.folders("targets"):
            for file in sorted(folder.glob("*.toml")):
                files.setdefault(file.stem, file)
        return dict(sorted(files.items()))

    @classmethod
    def names(cls) -> list[str]:
        """Return the names that ``load`` accepts, without aliases, which it also accepts."""
        return list(cls.available())

    @classmethod
    def is_known(cls, name: str) -> bool:
        """Return whether ``load`` accepts ``name``."""
        available = cls.available()
        return name in available or any(name in cls._read(path).labels for path in available.values())

    @classmethod
    def _read(cls, path: Path) -> Target:
        return cls.parse(read_toml(path, TargetError), where=file_lookup.display_path(path))
