"""Each exit code, provoked for real; each error says what failed and what to do next."""

from pathlib import Path

import pytest

from tests.functional.cli.deployment import Deployment, Done

UNKNOWN_JOB = "01kb3v9x4q0000000000000000"


def error_lines(done: Done) -> list[str]:
    """The lines of the error."""
    assert done.stderr.startswith("iraas: "), done.stderr
    return done.stderr.splitlines()


def test_0_success(finished: Deployment) -> None:
    assert finished.run("status").returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["results", UNKNOWN_JOB],
        ["retry", UNKNOWN_JOB],
        ["submit", "--resume", UNKNOWN_JOB],
    ],
    ids=str,
)
def test_1_a_job_that_does_not_exist(finished: Deployment, arguments: list[str]) -> None:
    lines = error_lines(finished.run(*arguments, expect=1))
    assert lines == [
        f"iraas: there is no job {UNKNOWN_JOB} in this deployment.",
        "       List the jobs with: iraas jobs",
    ]


def test_1_an_output_that_is_full(finished: Deployment) -> None:
    (finished.folder / "full.csv").symlink_to("/dev/full")
    lines = error_lines(finished.run("results", finished.job, "--save", "full.csv", expect=1))
    assert "full.csv cannot be written: No space left on device" in lines[0]


def test_1_a_full_disk_says_how_to_resume(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("a.jpg", source=photo)
    (deployment.folder / "full.csv").symlink_to("/dev/full")
    done = deployment.run("submit", "a.jpg", "--save", "full.csv", expect=1)
    assert f"iraas submit --resume {deployment.job_id()}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["submit"], "name what to send"),
        (["submit", ""], "the empty path does not exist"),
        (["submit", "nowhere.jpg"], "nowhere.jpg does not exist"),
        (["submit", "*.tiff"], "*.tiff matches nothing"),
        (["submit", "empty"], "no image was found"),
        (["submit", "images", "--save", "out.txt"], "out.txt ends neither in .csv nor in .jsonl"),
        (["submit", "images", "--save", "gone/out.csv"], "gone/out.csv cannot be written"),
        (["submit", "images", "--resume", UNKNOWN_JOB], "--resume takes no paths"),
        (["submit", "images", "--no-wait", "--save", "a.csv"], "--no-wait leaves before"),
        (["submit", "--files-from", "gone.txt"], "gone.txt cannot be read"),
        (["submit", "--files-from", "."], ". cannot be read"),
        (["results", "nonsense"], "'nonsense' is not a job id"),
        (["retry", "nonsense"], "'nonsense' is not a job id"),
        (["submit", "--resume", "nonsense"], "'nonsense' is not a job id"),
    ],
    ids=str,
)
def test_2_a_command_that_cannot_be_parsed(
    finished: Deployment, arguments: list[str], said: str
) -> None:
    (finished.folder / "empty").mkdir(exist_ok=True)
    lines = error_lines(finished.run(*arguments, expect=2))
    assert said in lines[0]


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["submit", "--nonsense"], ["results"], ["status", "extra"]], ids=str
)
def test_2_options_and_commands_that_do_not_exist(
    finished: Deployment, arguments: list[str]
) -> None:
    assert "Usage: iraas" in finished.run(*arguments, expect=2).stderr


def test_3_some_images_were_not_even_sent(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("a.jpg", source=photo)
    (deployment.folder / "b.jpg").touch()
    done = deployment.run("submit", "a.jpg", "b.jpg", "--no-wait", expect=3)
    assert "1 of them cannot be labelled" in done.stderr
    assert done.stdout == f"{deployment.job_id()}\n"


def test_3_some_images_failed(finished: Deployment) -> None:
    finished.run("results", finished.job, expect=3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "--backend", "azure"], "the setting backend cannot be 'azure' (from flag)"),
        (["status", "--deployment", "No/Good"], "the setting deployment cannot be 'No/Good'"),
        (["submit", "images", "--max-workers", "99"], "a whole number in 1..19"),
        (["worker", "--idle-timeout-s", "soon"], "a number of seconds in 0..3600"),
        (["status", "--home", "~nobody-of-this-name"], "no such user"),
    ],
    ids=str,
)
def test_2_a_flag_that_cannot_be_used(
    finished: Deployment, arguments: list[str], said: str
) -> None:
    lines = error_lines(finished.run(*arguments, expect=2))
    assert said in lines[0]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("arguments", "settings", "said"),
    [
        (["status"], {"IRAAS_BACKEND": "azure"}, "(from environment IRAAS_BACKEND)"),
        (["status"], {"IRAAS_LEASE_S": "soon"}, "a number of seconds in 1..3600"),
        (["status"], {"IRAAS_MAX_WORKERS": "abc"}, "a whole number in 1..19"),
        (["status", "--profile", "none"], {}, "there is no profile 'none'"),
        (["submit", "images", "--model", "no-such-model"], {}, "no model 'no-such-model'"),
        (["worker", "--model", "no-such-model"], {}, "no model 'no-such-model'"),
    ],
    ids=str,
)
def test_4_a_setting_that_cannot_be_used(
    finished: Deployment, arguments: list[str], settings: dict[str, str], said: str
) -> None:
    lines = error_lines(finished.run(*arguments, expect=4, **settings))
    assert said in lines[0]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[default]\nmax_wrokers = 3", "iraas.toml [default] has an unknown setting: max_wrokers"),
        ("[default]\nmax_attempts = 0", "(from iraas.toml [default])"),
        ("max_workers = 3", "iraas.toml has a setting outside a table: max_workers"),
        ("not toml", "iraas.toml cannot be read"),
        ("\x00", "iraas.toml cannot be read"),
    ],
)
def test_4_a_settings_file_that_cannot_be_used(
    deployment: Deployment, text: str, said: str
) -> None:
    (deployment.folder / "iraas.toml").write_text(text)
    assert said in error_lines(deployment.run("status", expect=4))[0]


def test_4_a_home_that_cannot_be_used(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("a.jpg", source=photo)
    deployment.home.parent.mkdir(exist_ok=True)
    deployment.home.write_text("in the way")
    for arguments in (["submit", "a.jpg"], ["status"], ["provision"]):
        lines = error_lines(deployment.run(*arguments, expect=4))
        assert f"{deployment.home} is not a folder" in lines[0]
        assert len(lines) == 2
    below = str(deployment.home / "below")
    assert "is not a folder" in error_lines(deployment.run("status", "--home", below, expect=4))[0]
    deployment.home.unlink()


def test_4_a_cache_that_cannot_be_used(deployment: Deployment) -> None:
    (deployment.folder / "file").write_text("in the way")
    lines = error_lines(deployment.run("worker", expect=4, IRAAS_CACHE="file"))
    assert "the model cache" in lines[0]
    assert lines[1] == "       Set IRAAS_CACHE to a folder that you may write to."


def test_5_timed_out(deployment: Deployment, photo: Path) -> None:
    deployment.add_images("a.jpg", source=photo)
    lease = deployment.lease()
    assert lease.hold()
    try:
        done = deployment.run("submit", "a.jpg", "--timeout", "1", expect=5)
    finally:
        lease.release()
    assert done.stderr.splitlines() == [
        f"0 of 1 images are done. Resume with: iraas submit --resume {deployment.job_id()}",
        "iraas: the job was not done within 1 s.",
    ]
