"""Following a job whose controller cannot start any worker."""

import threading
import time
from pathlib import Path

import pytest

from iraas.backends.memory import MemoryBackend
from iraas.cli.controllers import running_controller
from iraas.cli.exit_codes import ExitCode, exit_code
from iraas.cli.job_runner import follow_job
from iraas.core.jobs import ImageFile
from iraas.core.ports import Launch
from iraas.core.settings import Settings
from iraas.errors import NotProvisionedError, PermissionDeniedError
from iraas.jobs.store import create_job
from tests.waiting import PATIENCE_S, wait_until


class Denied(MemoryBackend):
    """A deployment in which nothing may be launched."""

    def __init__(self) -> None:
        super().__init__()

        def launch(count: int) -> Launch:
            if count:
                raise PermissionDeniedError("ec2:RunInstances is not allowed")
            return Launch(())

        self.fleet.launch = launch  # type: ignore[method-assign]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", cache=tmp_path / "cache")


def test_a_job_whose_workers_may_not_be_launched_ends_at_once_with_code_4(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = Denied()
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    image = ImageFile("a.jpg", str(tmp_path / "a.jpg"))
    job = create_job(backend, iter([image]), sources=("a.jpg",), clock=time.time)
    with pytest.raises(PermissionDeniedError, match="RunInstances") as caught:
        follow_job(settings, backend, job, save=None, timeout_s=PATIENCE_S, as_json=True)
    assert exit_code(caught.value) is ExitCode.CONFIGURATION
    assert f"iraas submit --resume {job.job_id}" in capsys.readouterr().err
    assert backend.lease.holder() == ""
    assert backend.responses.requesters() == []


def test_a_controller_that_cannot_poll_reports_why(settings: Settings) -> None:
    backend = MemoryBackend()
    reported = threading.Event()

    def hold() -> bool:
        reported.set()
        raise NotProvisionedError("there is nothing here")

    backend.lease.hold = hold  # type: ignore[method-assign]
    with running_controller(settings, backend) as controller:
        assert reported.wait(PATIENCE_S)
        wait_until(lambda: controller.error, "the error")
        with pytest.raises(NotProvisionedError):
            controller.check()


def test_a_working_controller_reports_no_error(settings: Settings) -> None:
    backend = MemoryBackend()
    with running_controller(settings, backend) as controller:
        wait_until(backend.lease.holder, "the lease")
        controller.check()
