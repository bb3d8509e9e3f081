"""`make audit` reports known vulnerabilities, and says so if no database was reachable."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.meta.sources import ROOT

ASKED_BY_THE_AUDIT = "jinja2"
NOWHERE = "http://127.0.0.1:9"
"""A proxy address without a listener: PyPI is unreachable."""


class _Database(BaseHTTPRequestHandler):
    """Answers like https://api.osv.dev for the packages that it knows something about."""

    known: dict[str, str]

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = query["package"]["name"]
        affected = [{"package": {"name": name, "ecosystem": "PyPI"}}]
        found = {"vulns": [{"id": self.known.get(name), "affected": affected}]}
        answer = json.dumps(found if name in self.known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


@pytest.fixture
def known() -> dict[str, str]:
    """Vulnerabilities by package; the one that the audit asks for first is in every database."""
    return {ASKED_BY_THE_AUDIT: "PYSEC-2019-217"}


@pytest.fixture
def database(known: dict[str, str]) -> Iterator[str]:
    handler = type("Handler", (_Database,), {"known": known})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def audit(folder: Path, database: str) -> tuple[int, str]:
    """Audit one pinned package; return the exit code and the output."""
    pinned = folder / "pinned.txt"
    pinned.write_text("urllib3==1.26.0\n")
    done = subprocess.run(
        [ROOT / ".ci" / "audit", pinned, "--osv-url", database],
        cwd=ROOT,
        env=os.environ
        | {"PYTHON": sys.executable, "HTTPS_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_it_says_that_nothing_was_checked_when_no_database_answers(tmp_path: Path) -> None:
    code, said = audit(tmp_path, NOWHERE)
    assert code == 0
    assert "SKIPPED, nothing was checked" in said


def test_it_says_so_of_an_empty_database_too(
    tmp_path: Path, database: str, known: dict[str, str]
) -> None:
    known.clear()
    code, said = audit(tmp_path, database)
    assert code == 0
    assert "SKIPPED, nothing was checked" in said


def test_it_fails_with_the_name_of_a_known_vulnerability(
    tmp_path: Path, database: str, known: dict[str, str]
) -> None:
    known["urllib3"] = "PYSEC-2021-108"
    code, said = audit(tmp_path, database)
    assert code == 1
    assert "PYSEC-2021-108" in said


def test_it_says_that_there_is_none_when_the_database_has_none(
    tmp_path: Path, database: str
) -> None:
    code, said = audit(tmp_path, database)
    assert code == 0
    assert "no known vulnerability (database: osv)" in said
