"""The log of a worker that the local fleet has started."""

from contextlib import closing
from pathlib import Path

from iraas.backends.local.worker_log import MAX_LOG_BYTES, rotated_path
from tests.functional.cli.deployment import Deployment


def test_a_real_worker_bounds_its_own_log(deployment: Deployment) -> None:
    """The log is filled before the worker starts: its fleet appends to an existing file."""
    log = deployment.home / "iraas" / "fleet" / "logs" / "w-00000001.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"TIFFFillStrip: Read error\n" * 2 * MAX_LOG_BYTES)
    deployment.run(
        "worker", "--worker-id", "w-00000001", IRAAS_WORKER_LOG=str(log), IRAAS_IDLE_TIMEOUT_S="0"
    )
    assert log.stat().st_size <= MAX_LOG_BYTES
    assert rotated_path(log).stat().st_size <= MAX_LOG_BYTES


def test_a_worker_of_the_fleet_knows_its_log(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("images/koala.jpg", source=photo)
    deployment.run("submit", "images")
    with closing(deployment.open()) as backend:
        (log,) = (backend.folder / "fleet" / "logs").glob("w-*.log")
    assert "begins" in log.read_text()
    assert log.stat().st_size < MAX_LOG_BYTES
