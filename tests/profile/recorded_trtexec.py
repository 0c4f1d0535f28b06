"""A program in the place of trtexec that prints and writes what real ones did: recorded output, nothing is measured.

Banners, options and export formats are those of 8.5.2, 10.3.0 and 11.1.0; 11.4 is taken to have the options of 11.1.
"""

from __future__ import annotations

import json
from pathlib import Path

BANNERS = {"8.5": "v8502", "10.3": "v100300", "11.4": "v110400] [b12"}

_KNOWN = {
    "8.5": "--fp16 --int8 --buildOnly --noDataTransfers --useCudaGraph --useSpinWait --separateProfileRun",
    "10.3": "--fp16 --int8 --skipInference --noDataTransfers --useCudaGraph --useSpinWait --separateProfileRun",
    "11.4": "--skipInference --includeDataTransfers --noCudaGraph --noSpinWait",
}
_ALWAYS = (
    "--help --onnx --saveEngine --timingCacheFile --profilingVerbosity --loadEngine --warmUp --duration --iterations"
)
_EXPORTS = "--percentile --exportTimes --exportProfile --exportLayerInfo --loadInputs --exportOutput"


def times(compute_ms: float) -> list[dict[str, float]]:
    """As ``--exportTimes`` writes them."""
    return [
        {
            "startEnqMs": 500.1 + index,
            "endEnqMs": 500.12 + index,
            "startH2dMs": 500.1 + index,
            "endH2dMs": 500.11 + index,
            "startComputeMs": 500.11 + index,
            "endComputeMs": 500.11 + compute_ms + index,
            "startD2hMs": 500.11 + compute_ms + index,
            "endD2hMs": 500.12 + compute_ms + index,
            "h2dMs": 0.01,
            "computeMs": compute_ms + index % 3 / 100,
            "d2hMs": 0.01,
            "latencyMs": round(compute_ms + 0.02 + index % 3 / 100, 6),
        }
        for index in range(120)
    ]


TIMES = times(0.8)
PROFILE = [
    {"count": 41400},
    {
        "name": "/conv1/Conv + /act1/Relu",
        "timeMs": 1160.78,
        "averageMs": 0.0280382,
        "medianMs": 0.027872,
        "percentage": 100,
    },
]
LAYERS = {"Layers": ["/conv1/Conv + /act1/Relu"], "Bindings": ["input", "output"]}

_SCRIPT = """#!/bin/sh
echo '&&&& RUNNING TensorRT.trtexec [TensorRT {banner}] # trtexec' "$@"
echo "$@" >> '{folder}/calls'
for argument in "$@"; do
  name=${{argument%%=*}}
  value=${{argument#*=}}
  case " {known} " in
    *" $name "*) ;;
    *) echo "[11/21/2026-10:00:00] [E] Unknown option: $name"; exit 1 ;;
  esac
  case $name in
    --onnx) grep -q broken "$value" && {{ echo "[11/21/2026-10:00:02] [E] Failed to parse onnx file"; exit 1; }} ;;
    --saveEngine) cat '{folder}/engine' > "$value" ;;
    --timingCacheFile) echo timed >> "$value" ;;
    --loadEngine)
      echo "[11/21/2026-10:00:01] [I] Engine deserialized in 0.0326257 sec."
      echo "[11/21/2026-10:00:01] [I] Created input binding for input with dimensions 1x1x8x8"
      echo "[11/21/2026-10:00:01] [I] Created output binding for output with dimensions 1x10"
      precision=${{value%.engine}}
      precision=${{precision##*.}} ;;
    --exportTimes) cat "{folder}/times.$precision.json" > "$value" ;;
    --exportProfile) cat '{folder}/profile.json' > "$value" ;;
    --exportLayerInfo) cat '{folder}/layers.json' > "$value" ;;
    --loadInputs) inputs=$value ;;
    --exportOutput) '{folder}/answer' "$precision" "$inputs" > "$value" ;;
  esac
done
echo '&&&& PASSED TensorRT.trtexec [TensorRT {banner}]'
"""


def install(folder: Path, release: str) -> Path:
    """Write ``trtexec`` into ``folder``; ``calls`` beside it will hold the arguments of every call.

    What ``answer`` beside it prints, when called with the precision and ``NAME:FILE``, it exports as outputs.
    """
    folder.mkdir(exist_ok=True)
    (folder / "engine").write_bytes(b"ftrt engine")
    for name, value in {"profile": PROFILE, "layers": LAYERS}.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    compute_ms(folder, fp32=0.8, fp16=0.8, int8=0.8)
    available = " ".join([_KNOWN[release], _ALWAYS, _EXPORTS])
    program = folder / "trtexec"
    program.write_text(_SCRIPT.format(banner=BANNERS[release], folder=folder, known=available))
    program.chmod(0o755)
    return program


def compute_ms(folder: Path, **by_precision: float) -> None:
    """Set what engines of a precision take."""
    for precision, durations in by_precision.items():
        (folder / f"times.{precision}.json").write_text(json.dumps(times(durations)))


def calls(folder: Path) -> list[str]:
    """Arguments of each call but those that only ask for help."""
    lines = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    return [line for line in lines if line != "--help"]
