"""``iraas up`` in a stranger's folder, with secrets in its environment: what its children do there,
and what they know.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.functional.cli.deployment import Deployment
from tests.waiting import wait_until

TOKEN = "a-token-of-32-characters-for-tests"
SECRETS = {
    "IRAAS_TOKEN": TOKEN,
    "IRAAS_WEBHOOK_SECRET": "secret-of-webhooks",
    "AWS_ACCESS_KEY_ID": "secret-key-id",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-account",
}
MODULES = ("resource", "struct", "json", "signal", "PIL", "numpy", "iraas", "sitecustomize", "io")


@pytest.fixture
def deployment(tmp_path: Path, bundle_path: Path) -> Iterator[Deployment]:
    one = Deployment(tmp_path, bundle_path)
    trap = one.folder / "trap"
    for name in MODULES:
        (one.folder / f"{name}.py").write_text(f"open({str(trap)!r}, 'a').write({name!r})\n")
    yield one
    assert one.stop() == []


def test_no_child_runs_code_of_the_folder_or_inherits_a_secret(
    deployment: Deployment, photos: list[tuple[Path, str, int]]
) -> None:
    web = deployment.start("up", "--port", "0", IRAAS_IDLE_TIMEOUT_S="60", **SECRETS)
    assert web.stderr is not None
    url = next(line.split()[-1] for line in web.stderr if "http://" in line)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    with httpx2.Client(base_url=url, headers=bearer, timeout=120) as client:
        sent = client.post("/api/v1/jobs", files={"f": photos[0][0].read_bytes()}).json()
        job = sent["job_id"]
        wait_until(
            lambda: client.get(f"/api/v1/jobs/{job}").json()["done"] == 1, "the image's outcome"
        )
        assert client.get(f"/api/v1/jobs/{job}/images/0/thumbnail").status_code == 200
        children = [one for one in deployment.processes() if one.pid != web.pid]
        commands = [" ".join(one.cmdline()) for one in children]
        environments = [text for one in children for text in one.environ().values()]
    for module in (
        "iraas worker",
        "iraas.cli.commands.classifier_process",
        "iraas.models.confined_process",
        "iraas.web.thumbnails.process",
    ):
        assert any(module in command for command in commands), commands
    assert not [text for text in environments if "secret" in text or TOKEN in text]
    assert not (deployment.folder / "trap").exists()


def test_submit_starts_nothing_that_runs_code_of_the_folder_or_inherits_a_secret(
    deployment: Deployment, photos: list[tuple[Path, str, int]]
) -> None:
    deployment.add_images("a.jpg", source=photos[0][0])
    submit = deployment.start("submit", "a.jpg", "--no-wait", IRAAS_IDLE_TIMEOUT_S="60", **SECRETS)
    known: list[str] = []
    seen: set[str] = set()
    started = psutil.Process(submit.pid)
    wait_until(started.cmdline, "the command line")  # for a moment a new program has none
    own = started.cmdline()

    def has_seen_all() -> bool:
        for one in deployment.processes():
            with suppress(psutil.Error):
                command = one.cmdline()
                if command not in ([], own):  # else it is being started, and still a copy of submit
                    seen.update(command)
                    known.extend(one.environ().values())
        return {"controller", "worker", "iraas.models.confined_process"} <= seen

    wait_until(has_seen_all, "a controller, a worker and what decodes")
    assert submit.wait(120) == 0
    assert not [text for text in known if "secret" in text or TOKEN in text]
    assert not (deployment.folder / "trap").exists()
