"""A report whose every name would like to run, in Chromium."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.reports import EVIL, evil_report

pytestmark = [pytest.mark.gui, pytest.mark.slow]

BROWSER = """
import json, sys
from pathlib import Path
from PySide6.QtCore import QTimer, QUrl
from PySide6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInterceptor
from PySide6.QtWidgets import QApplication

seen = {}

class Page(QWebEnginePage):
    def javaScriptAlert(self, origin, text):
        seen[name].append("alert " + text)

class Watch(QWebEngineUrlRequestInterceptor):
    def interceptRequest(self, info):
        if info.requestUrl().scheme() not in ("data", "chrome", "devtools") and (
            info.requestUrl().toString() != url.toString()
        ):
            seen[name].append("asked for " + info.requestUrl().toString())

app = QApplication([])
page, watch = Page(), Watch()
page.setUrlRequestInterceptor(watch)
pages = [Path(p).as_uri() for p in sys.argv[1:]]

def following():
    global name, url
    if not pages:
        print(json.dumps(seen))
        app.quit()
        return
    url = QUrl(pages.pop(0))
    name = Path(url.toLocalFile()).name
    seen[name] = []
    page.load(url)

def loaded(well):
    seen[name].append("loaded" if well else "failed")
    page.toPlainText(lambda text: (seen[name].append(text), following()))

page.loadFinished.connect(loaded)
QTimer.singleShot(0, following)
app.exec()
"""


@pytest.mark.skipif(
    find_spec("PySide6") is None or find_spec("PySide6.QtWebEngineCore") is None,
    reason="Qt WebEngine is not installed",
)
def test_nothing_of_a_report_runs_in_a_browser(tmp_path: Path) -> None:
    report = evil_report(tmp_path)
    content = report.read_text(encoding="utf-8")
    # The page's own policy forbids scripts; its escaping must hold without that too.
    bare = tmp_path / "bare.html"
    policy = "Content-Security-Policy"
    assert policy in content
    bare.write_text(content.replace(policy, "X-Nothing"), encoding="utf-8")
    proof = tmp_path / "proof.html"
    proof.write_text(f"<body>{EVIL}--></body>", encoding="utf-8")
    script = tmp_path / "browser.py"
    script.write_text(BROWSER)
    flags = {"QTWEBENGINE_CHROMIUM_FLAGS": "--no-sandbox --disable-gpu"}
    done = subprocess.run(
        [sys.executable, str(script), *map(str, (proof, report, bare))],
        capture_output=True,
        text=True,
        env={**os.environ, **flags, "QT_QPA_PLATFORM": "offscreen"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert "alert 1" in seen["proof.html"], "the browser runs such names where they are markup"
    for name in (report.name, "bare.html"):
        *events, text = seen[name]
        assert events == ["loaded"]
        assert text.count(EVIL) >= 8
