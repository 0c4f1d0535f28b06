"""A real browser, spoken to over the pipe of the DevTools protocol: Debian's chromium without a window.

https://chromedevtools.github.io/devtools-protocol/; messages are JSON, each ended by a zero byte.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ANSWER_S = 60
_NAMES = ("chromium", "chromium-browser", "google-chrome")
# What runs as root has no sandbox to go into; what is opened are files that the tests wrote.
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip


def find() -> str | None:
    """The program, or None where there is none."""
    return next((result for name in _NAMES if (result := shutil.which(name))), None)


class Browser:
    """One page in one browser."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.console: list[str] = []
        """Messages of the console and of the browser itself about the page."""
        self.requests: list[str] = []
        """Addresses that the page asked for."""
        self.failures: list[str] = []
        """Those that were refused or could not be loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, file: Path) -> None:
        """Load ``file`` and wait until it is there."""
        self.console, self.requests, self.failures = [], [], []
        self.call("Page.navigate", url=file.resolve().as_uri())
        end = time.monotonic() + _ANSWER_S
        while self.evaluate("document.readyState") != "complete":
            assert time.monotonic() < end, f"{file} does not load"
            time.sleep(0.02)

    def look(self, width: int, *, scheme: str = "light", media: str = "screen", height: int = 900) -> None:
        """See the page as wide as ``width`` px."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    def evaluate(self, expression: str) -> Any:
        """The value of some JavaScript in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def screenshot(self, file: Path) -> None:
        """The whole page as PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed, on A4."""
        printed = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=False)
        return base64.b64decode(printed["data"])

    def call(self, method: str, **parameters: Any) -> Any:
        """Send one command and wait for its answer; events on the way are taken note of."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self._send, content) :]
        end = time.monotonic() + _ANSWER_S
        while True:
            answer = self._next(end)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._note(answer)

    def _next(self, end: float) -> Any:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._receive], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            read = os.read(self._receive, 1 << 20)
            assert read, "the browser has ended"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: Any) -> None:
        output = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(argument.get("value")) for argument in output["args"]))
            case "Runtime.exceptionThrown":
                self.console.append(str(output["exceptionDetails"].get("text")))
            case "Log.entryAdded":
                self.console.append(output["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(output["request"]["url"])
            case "Network.loadingFailed":
                self.failures.append(str(output.get("errorText")))


@contextmanager
def started(program: str) -> Iterator[Browser]:
    """A browser with a fresh profile, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="edgeprune-browser-", ignore_cleanup_errors=True) as profile:
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        # It reads from 3 and writes to 4: its ends of the pipes must not be there already when they are put there.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]
        arguments = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        null = os.open(os.devnull, os.O_RDWR)
        moves = [(os.POSIX_SPAWN_DUP2, high[0], 3), (os.POSIX_SPAWN_DUP2, high[1], 4)]
        quiet = [(os.POSIX_SPAWN_DUP2, null, end) for end in (0, 1, 2)]
        # A group of its own, so that the processes it starts can be ended with it.
        process = os.posix_spawn(program, arguments, os.environ, file_actions=[*moves, *quiet], setpgroup=0)
        for end in (theirs_in, theirs_out, *high, null):
            os.close(end)
        try:
            yield Browser(ours_out, ours_in)
        finally:
            os.close(ours_out)
            os.close(ours_in)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, 9)
            os.waitpid(process, 0)
