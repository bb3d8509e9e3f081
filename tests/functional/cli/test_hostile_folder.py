"""Commands that run in a folder with hostile content."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from iraas.jobs.store import get_job, iter_manifest
from tests.functional.cli.deployment import Deployment

HOSTILE = """
[default]
token = "known to the attacker"
webhook_hosts = "attacker.example"
backend = "aws"
model = "model-of-theirs"
cache = "."
max_workers = 3
"""


def test_a_project_file_cannot_take_control_and_is_reported_once(deployment: Deployment) -> None:
    (deployment.folder / "iraas.toml").write_text(HOSTILE)
    deployment.environment.pop("IRAAS_MAX_WORKERS")
    deployment.environment.pop("IRAAS_CACHE")
    done = deployment.run("config", "show", "--json")
    for name in ("token", "webhook_hosts", "backend", "model", "cache"):
        assert f'"{name}": {{"value": ' in done.stdout
    assert done.stdout.count('"source": "default"') > 20
    assert '"max_workers": {"value": 3, "source": "iraas.toml [default]"}' in done.stdout
    notices = done.stderr.splitlines()
    file = deployment.folder / "iraas.toml"
    assert notices[0] == f"iraas: {file} sets max_workers."
    assert notices[1].startswith(
        f"iraas: {file} may not set cache, backend, model, token, webhook_hosts: "
    )
    assert len(notices) == 2


@pytest.mark.parametrize("command", [["status"], ["jobs"], ["config", "show"], ["doctor"]])
def test_a_pipe_instead_of_a_settings_file_blocks_no_command(
    deployment: Deployment, command: list[str]
) -> None:
    os.mkfifo(deployment.folder / "iraas.toml")
    done = deployment.run(*command, expect=None)
    assert "iraas.toml is ignored: it is not a regular file." in done.stderr


def test_config_may_stand_before_or_after_the_command(deployment: Deployment) -> None:
    (deployment.folder / "mine.toml").write_text('[default]\nregion = "eu-west-1"\n')
    for arguments in (
        ("--config", "mine.toml", "config", "show"),
        ("config", "show", "--config", "mine.toml"),
    ):
        done = deployment.run(*arguments, "--json")
        assert '"region": {"value": "eu-west-1", "source": "mine.toml [default]"}' in done.stdout
        assert done.stderr == ""


def test_the_users_own_file_is_in_the_folder_of_the_platform(deployment: Deployment) -> None:
    (shown,) = deployment.json("config", "show", "--config", "none")
    assert shown["region"]["source"] == "default"
    own = deployment.folder.parent / "config" / "iraas" / "config.toml"
    own.parent.mkdir(parents=True)
    own.write_text('[default]\nregion = "eu-west-1"\n')
    (shown,) = deployment.json("config", "show")
    assert shown["region"] == {"value": "eu-west-1", "source": f"{own} [default]"}


def test_submit_skips_links_out_of_a_folder_names_them_and_counts_them(
    deployment: Deployment, photo: Path
) -> None:
    deployment.add_images("images/a.jpg", "private/b.jpg", source=photo)
    for number in range(25):
        (deployment.folder / "images" / f"l{number:02}.jpg").symlink_to("../private/b.jpg")
    done = deployment.run("submit", "images", "--dry-run")
    assert done.stdout.split() == ["a.jpg"]
    notices = done.stderr.splitlines()
    assert notices[0] == "skipped: l00.jpg leads out of its folder"
    assert notices[20].startswith("25 links skipped. ")
    assert "1 images" in notices[21]
    followed = deployment.run("submit", "images", "--dry-run", "--follow-links")
    assert len(followed.stdout.split()) == 26
    named = deployment.run("submit", "images/l00.jpg", "--dry-run")
    assert named.stdout.split() == ["images/l00.jpg"]


def test_skipped_files_are_in_no_manifest_and_in_no_store(
    deployment: Deployment, photo: Path
) -> None:
    deployment.add_images("images/a.jpg", "private/b.jpg", source=photo)
    (deployment.folder / "images" / "link.jpg").symlink_to("../private/b.jpg")
    lease = deployment.lease()
    assert lease.hold()
    try:
        done = deployment.run("submit", "images", "--no-wait")
    finally:
        lease.release()
    assert "1 link skipped." in done.stderr
    with closing(deployment.open()) as backend:
        job = get_job(backend, deployment.job_id())
        assert [one.name for one in iter_manifest(backend, job)] == ["a.jpg"]
