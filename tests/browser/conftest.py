"""One JupyterLab and one Chromium for the whole run; a test rewrites the one cell of the one notebook."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SYNTHETIC = REPOSITORY / "tests" / "widgets"
sys.path.insert(0, str(SYNTHETIC))

TOKEN = "test"
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# Chromium's own message about a page it is about to leave; nothing of ours writes it.
IGNORED_CONSOLE = ("favicon", "ResizeObserver loop")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; its absence is a failure, for what is not looked at is not known to work."""
    from playwright.sync_api import sync_playwright

    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if not found:
        pytest.fail("the browser tests need Chromium: apt-get install chromium, or set CHROMIUM=/path/to/it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder whose notebooks the server opens."""
    folder = tmp_path_factory.mktemp("lab") / "work"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def server(server_folder: Path) -> Iterator[str]:
    """The address of a JupyterLab that reads nobody's settings and asks nobody for news."""
    folder = server_folder.parent
    quiet_settings(folder / "config" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension")
    notebook = {"cells": [], "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}}}
    (server_folder / "test.ipynb").write_text(json.dumps({**notebook, "nbformat": 4, "nbformat_minor": 5}))
    port = free_port()
    log = (folder / "log").open("w")
    options = [
        *("--no-browser", "--allow-root", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder / 'work'}"),
        *("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly"),
        *("--LabApp.expose_app_in_browser=True", "--ServerApp.disable_check_xsrf=True"),
    ]
    command = [sys.executable, "-m", "jupyterlab", *options]
    process = subprocess.Popen(command, env=server_environment(folder), stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for_server(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def quiet_settings(folder: Path) -> None:
    """Answer JupyterLab's question about news before it asks."""
    folder.mkdir(parents=True)
    answer = {"fetchNews": "false", "checkForUpdates": False}
    (folder / "notification.jupyterlab-settings").write_text(json.dumps(answer))


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def server_environment(folder: Path) -> dict[str, str]:
    """Own Jupyter folders, and our package importable in the kernel."""
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    paths = [str(REPOSITORY), str(SYNTHETIC), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "HF_HUB_OFFLINE": "1"}


def wait_for_server(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers; fail with its log when it ends or stays silent."""
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{address}/api?token={TOKEN}", timeout=2).close()
            return
        except OSError:
            time.sleep(0.25)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


class Lab:
    """The notebook page: runs code in its one cell and hands back the output."""

    def __init__(self, page: Any, address: str) -> None:
        self.page, self.address = page, address
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.sent: list[Any] = []
        self.received: list[Any] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("websocket", self._on_websocket)

    def _on_console(self, message: Any) -> None:
        text = f"{message.text} {message.location.get('url', '')}"
        if message.type == "error" and not any(known in text for known in IGNORED_CONSOLE):
            self.problems.append(text)

    def _on_websocket(self, socket: Any) -> None:
        socket.on("framesent", lambda data: self.sent.append(data))
        socket.on("framereceived", lambda data: self.received.append(data))

    def open(self, notebook: str = "test.ipynb") -> None:
        """Open a notebook of the server's folder and wait for its kernel."""
        self.page.goto(f"{self.address}/lab/tree/{notebook}?token={TOKEN}&reset")
        self.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.context?.isReady", timeout=40_000)
        self.idle()

    def reopened(self, selector: str) -> Any:
        """The first element of the notebook saved and opened anew.

        JupyterLab gives the kernel only seconds to say which widgets it has; on a busy machine it is asked once more.
        """
        from playwright.sync_api import TimeoutError as NotYet

        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        for _ in range(2):
            self.problems.clear()
            self.open()
            with contextlib.suppress(NotYet):
                self.page.locator(selector).first.wait_for(timeout=20_000)
                break
        return self.page.locator(selector).first

    def idle(self, timeout: float = 90_000) -> None:
        """Wait until the kernel has nothing to do."""
        self.page.wait_for_function(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
            timeout=timeout,
        )

    def start(self, code: str) -> None:
        """Run ``code`` in the notebook's one cell without waiting for its end."""
        self.page.evaluate(
            """async (code) => {
              const panel = window.jupyterapp.shell.currentWidget;
              const cells = panel.content.model.sharedModel;
              cells.transact(() => {
                cells.deleteCellRange(0, cells.cells.length);
                cells.insertCell(0, { cell_type: "code", source: code });
              });
              while (panel.content.widgets.length !== 1) await new Promise(requestAnimationFrame);
              panel.content.activeCellIndex = 0;
              panel.content.mode = "command";
              window.jupyterapp.commands.execute("notebook:run-cell");
            }""",
            code,
        )

    def run(self, code: str, timeout: float = 60_000) -> Any:
        """Run ``code`` and return the locator of its output; an exception in the cell fails the test."""
        self.start(code)
        self.page.wait_for_function(
            """() => {
              const panel = window.jupyterapp.shell.currentWidget;
              const cell = panel.content.widgets[0].model;
              return cell.executionCount !== null && panel.sessionContext.session.kernel.status === "idle";
            }""",
            timeout=timeout,
        )
        errors = [output for output in self.outputs() if output["output_type"] == "error"]
        if errors:
            pytest.fail(f"the cell raised {errors[0]['ename']}: {errors[0]['evalue']}")
        return self.page.locator(".jp-Cell .jp-Cell-outputArea").first

    def heatmap(self, code: str, timeout: float = 60_000) -> Any:
        """Run ``code``, whose last line is a TokenHeatmap, and return the widget's locator once it is painted."""
        root = self.run(code, timeout).locator(".saew-heatmap").first
        root.and_(self.page.locator("[data-ready]")).wait_for(timeout=timeout)
        return root

    def ask(self, expression: str) -> Any:
        """Value of a Python expression in the kernel, by way of JSON."""
        code = f"import json as _json; print('ASKED' + _json.dumps({expression}))"
        return self.page.evaluate(
            """(code) => new Promise((resolve, reject) => {
              const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
              const future = kernel.requestExecute({ code, store_history: false });
              let text = "";
              future.onIOPub = (message) => {
                if (message.header.msg_type === "stream") text += message.content.text;
                if (message.header.msg_type === "error") reject(new Error(message.content.evalue));
              };
              future.done.then(() => resolve(JSON.parse(text.split("ASKED")[1])), reject);
            })""",
            code,
        )

    def expect(self, expression: str, value: Any, timeout: float = 10) -> None:
        """Fail unless an expression comes to have a value: comm messages and cells may overtake each other."""
        end = time.monotonic() + timeout
        while (found := self.ask(expression)) != value:
            if time.monotonic() > end:
                pytest.fail(f"{expression} is {found!r}, expected {value!r}")
            time.sleep(0.05)

    def tell(self, statement: str) -> None:
        """Run a Python statement in the kernel, beside the notebook."""
        self.ask(f"exec({statement!r}, globals())")

    def outputs(self) -> list[dict[str, Any]]:
        """The cell's outputs as the notebook's model holds them."""
        return self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.outputs.toJSON()"
        )

    def dark(self, on: bool) -> None:
        """Switch JupyterLab's theme."""
        theme = "JupyterLab Dark" if on else "JupyterLab Light"
        self.page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
        wanted = "false" if on else "true"
        self.page.wait_for_function("(wanted) => document.body.dataset.jpThemeLight === wanted", arg=wanted)
        self.page.wait_for_timeout(300)

    def strangers(self) -> list[str]:
        """Requests to anybody but this server."""
        own = (self.address, "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]


@pytest.fixture(scope="session")
def lab_page(browser: Any, server: str) -> Iterator[Lab]:
    """The one page, open on the one notebook."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    lab = Lab(context.new_page(), server)
    lab.open()
    yield lab
    context.close()


@pytest.fixture
def lab(lab_page: Lab) -> Iterator[Lab]:
    """The page with its records wiped; whatever it complained about fails the test."""
    lab_page.problems.clear()
    lab_page.requests.clear()
    yield lab_page
    assert lab_page.problems == []
    assert lab_page.strangers() == []


@pytest.fixture
def saved(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a saved page from its file, in a context of its own that must stay silent and ask for nothing."""
    contexts, problems, requests = [], [], []

    def complain(message: Any) -> None:
        # Reading pixels back from WebGL drawn by a processor is slow, and Chromium says so.
        if message.type in ("error", "warning") and "GL Driver Message" not in message.text:
            problems.append(message.text)

    def open_page(path: Path, **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1180, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", complain)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.resolve().as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []
    assert len(requests) == len(contexts), requests
