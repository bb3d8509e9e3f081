"""The minimum of free space, from the command line."""

from contextlib import closing
from pathlib import Path

from tests.functional.cli.deployment import Deployment

NO_DISK_HAS = str(10**15)


def test_submit_ends_with_an_error_and_can_be_resumed_when_there_is_space(
    deployment: Deployment, photo: Path
) -> None:
    deployment.add_images("images/koala.jpg", source=photo)
    done = deployment.run("submit", "images", expect=1, IRAAS_MIN_FREE_BYTES=NO_DISK_HAS)
    assert "must stay free" in done.stderr
    assert "min_free_bytes" in done.stderr
    job = deployment.job_id()
    assert f"iraas submit --resume {job}" in done.stderr
    with closing(deployment.open()) as backend:
        assert list(backend.inputs.list()) == []
        assert backend.requests.depth().total == 0
    again = deployment.run("submit", "--resume", job)
    assert "koala" in again.stdout
