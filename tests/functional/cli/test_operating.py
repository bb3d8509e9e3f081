"""Running a deployment: worker, controller, up, provision, teardown, status, config, doctor."""

import json
import re
import signal
import subprocess
from pathlib import Path

import psutil

from iraas.core.ports import OutboundMessage
from tests.functional.cli.deployment import Deployment, finish
from tests.waiting import wait_until

STATUS_FIELDS = [
    "deployment", "backend", "at", "queue", "dead_letters", "workers", "done", "failed",
    "images_per_s", "controller", "decision",
]  # fmt: skip


def send(deployment: Deployment, photo: Path, count: int = 3) -> str:
    """Send images while another process holds the controller's lease, so that they wait."""
    deployment.add_images(*(f"images/{index}.jpg" for index in range(count)), source=photo)
    lease = deployment.lease()
    assert lease.hold()
    try:
        deployment.run("submit", "images", "--no-wait")
    finally:
        lease.release()
    return deployment.job_id()


def test_a_manual_worker_drains_the_queue_and_exits(deployment: Deployment, photo: Path) -> None:
    job = send(deployment, photo)
    done = deployment.run("worker", "--processes", "1")
    began, left = done.stderr.splitlines()
    assert re.fullmatch(
        r"worker w-\w+ of iraas \(local\) begins: 1 process, model efficientnet-lite0", began
    )
    assert re.fullmatch(
        r"worker w-\w+ left: idle for \d+ s and no image is left \(3 images\)", left
    )
    assert done.stdout == ""
    assert len(deployment.json("results", job)) == 3
    (status,) = deployment.json("status")
    assert (status["done"], status["workers"]) == (3, [])


def test_corrupt_messages_become_dead_letters_and_stop_no_worker(
    deployment: Deployment, photo: Path
) -> None:
    job = send(deployment, photo, count=1)
    backend = deployment.open()
    bodies = ["", "{}", '{"v":9,"kind":"request"}', "[" * 20_000, "\x00\x1b[31m"]
    backend.requests.send([OutboundMessage(body) for body in bodies])
    backend.close()
    done = deployment.run("worker")
    assert "(1 image)" in done.stderr
    assert len(deployment.json("results", job)) == 1
    (status,) = deployment.json("status")
    assert status["dead_letters"] == len(bodies)
    assert status["queue"] == {"visible": 0, "in_flight": 0, "delayed": 0}


def test_a_worker_runs_the_given_number_of_processes(deployment: Deployment) -> None:
    worker = deployment.start("worker", "--processes", "2", "--idle-timeout-s", "60")
    parent = psutil.Process(worker.pid)
    wait_until(lambda: len(parent.children()) == 2, "two classifier processes")
    wait_until(deployment.worker_states, "its record", every_s=0.1)
    (seen,) = deployment.json("status")[0]["workers"]
    assert seen["kind"] == "by hand"
    worker.send_signal(signal.SIGTERM)
    done = finish(worker)
    assert done.returncode == 0
    assert "left: stopped by a signal" in done.stderr


def test_a_killed_classifier_process_loses_no_image(deployment: Deployment, photo: Path) -> None:
    job = send(deployment, photo, count=30)
    worker = deployment.start("worker", "--processes", "1")
    parent = psutil.Process(worker.pid)
    outputs = deployment.home / "iraas" / "outputs"
    wait_until(lambda: any(outputs.glob("*/*/*.json")), "a first outcome")
    for child in parent.children():
        child.kill()
    done = finish(worker)
    assert done.returncode == 0
    assert len(deployment.json("results", job)) == 30


def test_a_killed_worker_leaves_no_process_and_loses_no_image(
    deployment: Deployment, photo: Path
) -> None:
    job = send(deployment, photo, count=30)
    worker = deployment.start("worker", "--processes", "1", IRAAS_LEASE_S="2")
    outputs = deployment.home / "iraas" / "outputs"
    wait_until(lambda: any(outputs.glob("*/*/*.json")), "a first outcome")
    worker.kill()
    finish(worker)
    deployment.wait_until_gone()
    deployment.run("worker", IRAAS_LEASE_S="2")
    assert len(deployment.json("results", job)) == 30


def test_a_worker_whose_model_is_broken_says_so(deployment: Deployment, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "bundle.json").write_text("{")
    done = deployment.run("worker", "--model", str(bundle), expect=None)
    assert done.returncode in {1, 4}
    assert "bundle" in done.stderr


def test_a_controller_until_idle_drains_the_queue_and_exits(
    deployment: Deployment, photo: Path
) -> None:
    job = send(deployment, photo)
    done = deployment.run("controller", "--until-idle")
    assert done.stdout == ""
    greeting, *decisions = done.stderr.splitlines()
    assert greeting.startswith("The controller of iraas (local) starts up to 1 worker.")
    assert re.match(r"\d\d:\d\d:\d\d 1 worker wanted, 1 launched: ", decisions[0])
    assert decisions[-1].endswith(" 0 workers wanted: no image waits or is in flight")
    assert len(decisions) < 10
    assert len(deployment.json("results", job)) == 3
    assert deployment.processes() == []
    (status,) = deployment.json("status")
    assert status["decision"]["reason"] == "no image waits or is in flight"


def test_a_standby_controller_reports_that_it_stands_by(deployment: Deployment) -> None:
    lease = deployment.lease()
    assert lease.hold()
    controller = deployment.start("controller")
    assert controller.stderr is not None
    controller.stderr.readline()
    assert "another controller is active" in controller.stderr.readline()
    controller.send_signal(signal.SIGINT)
    assert finish(controller).returncode == 0
    lease.release()


def test_stopping_a_controller_stops_no_worker(deployment: Deployment, photo: Path) -> None:
    send(deployment, photo)
    controller = deployment.start("controller", IRAAS_IDLE_TIMEOUT_S="60")
    deployment.wait_for_a_running_worker()
    controller.send_signal(signal.SIGINT)
    assert finish(controller).returncode == 0
    (worker,) = deployment.json("status")[0]["workers"]
    assert worker["state"] == "running"


def test_status_in_json_has_the_promised_fields(finished: Deployment) -> None:
    wait_until(lambda: finished.json("status")[0]["done"] == 5, "its record")
    (status,) = finished.json("status")
    assert set(status) >= set(STATUS_FIELDS)
    assert status["queue"] == {"visible": 0, "in_flight": 0, "delayed": 0}
    assert (status["done"], status["failed"], status["dead_letters"]) == (5, 1, 0)
    assert status["decision"]["reason"]
    assert isinstance(status["workers"], list)


def test_status_shows_workers_with_their_age_and_the_waiting_images(
    deployment: Deployment, photo: Path
) -> None:
    send(deployment, photo, count=2)
    backend = deployment.open()
    backend.requests.receive(1, lease_s=600.0)
    backend.requests.send([OutboundMessage("later", delay_s=600.0)])
    backend.dead_letters.send([OutboundMessage("dead")])
    backend.close()
    (status,) = deployment.json("status")
    assert status["queue"] == {"visible": 1, "in_flight": 1, "delayed": 1}
    assert status["dead_letters"] == 1
    text = deployment.run("status").stdout
    assert "1 waiting, 1 in flight, 1 delayed" in text


def test_a_watched_status_in_a_pipe_prints_each_update(finished: Deployment) -> None:
    blocks = finished.start("status", "--watch")
    lines = finished.start("status", "--watch", "--json")
    for process, begins in ((blocks, "deployment "), (lines, "{")):
        assert process.stdout is not None
        seen = 0
        while seen < 2:
            seen += process.stdout.readline().startswith(begins)
        process.send_signal(signal.SIGINT)
        assert finish(process).returncode == 130


def test_dead_letters_are_shown_with_their_notes(deployment: Deployment, photo: Path) -> None:
    send(deployment, photo, count=2)
    backend = deployment.open()
    (older, newer) = backend.requests.receive(2, lease_s=600.0)
    letters = [
        OutboundMessage(newer.body, note="it ended three processes"),
        OutboundMessage(older.body, note="older"),
        OutboundMessage("{", note="corrupt [bold]"),
    ]
    backend.dead_letters.send(letters)
    backend.close()
    (status,) = deployment.json("status", "--dead-letters")
    assert [one["note"] for one in status["letters"]] == [
        "it ended three processes", "older", "corrupt [bold]",
    ]  # fmt: skip
    assert [one["name"] for one in status["letters"]] == ["1.jpg", "0.jpg", ""]
    text = deployment.run("status", "--dead-letters").stdout
    assert "corrupt [bold]" in text
    assert "(see them with --dead-letters)" in text
    (status,) = deployment.json("status")
    assert "letters" not in status
    checks = {one["name"]: one for one in deployment.json("doctor")}
    assert checks["confinement"]["finding"], "nothing is said of what decodes images"
    assert checks["dead letters"]["passed"] is None
    assert checks["dead letters"]["finding"].startswith("3 dead letters: ")


def test_provision_makes_and_teardown_removes_everything(
    deployment: Deployment, photo: Path
) -> None:
    folder = deployment.home / "iraas"
    plan = json.loads(deployment.run("provision", "--dry-run", "--json").stdout)
    assert (plan["deployment"], plan["costs"]) == ("iraas", None)
    assert {one["kind"] for one in plan["resources"]} == {"folder", "queue", "store"}
    assert not any(one["exists"] for one in plan["resources"])
    assert not folder.exists()

    assert "is ready" in deployment.run("provision").stderr
    assert folder.is_dir()
    deployment.run("provision")
    send(deployment, photo)

    listed = deployment.run("teardown", "--dry-run")
    assert "resources of the deployment iraas would be removed" in listed.stderr
    (planned,) = deployment.json("teardown", "--dry-run")
    assert {one["kind"] for one in planned["would_remove"]} >= {"folder", "queue", "store"}
    assert "remains" not in planned
    assert folder.is_dir()

    (removed,) = deployment.json("teardown", "--yes")
    assert removed == {"deployment": "iraas", "remains": []}
    assert not folder.exists()
    assert deployment.processes() == []
    assert "There is nothing of the deployment iraas." in deployment.run("teardown").stderr


def test_teardown_asks_first(deployment: Deployment) -> None:
    deployment.run("provision")
    for answer, code in ((b"n\n", 1), (b"y\n", 0)):
        assert (deployment.home / "iraas").is_dir()
        terminal = deployment.terminal("teardown")
        terminal.wait_for("Remove all of iraas?")
        terminal.press(answer)
        assert terminal.finish() == code
    assert "Nothing remains of the deployment iraas." in terminal.text
    assert not (deployment.home / "iraas").exists()


def test_teardown_without_a_terminal_needs_yes(deployment: Deployment) -> None:
    deployment.run("provision")
    refused = deployment.run("teardown", expect=2, given="y\n")
    assert "then use --yes." in refused.stderr
    assert (deployment.home / "iraas").is_dir()


def test_reading_a_removed_deployment_creates_nothing(deployment: Deployment) -> None:
    deployment.run("provision")
    deployment.run("teardown", "--yes")
    for command in ("status", "jobs"):
        deployment.run(command)
    assert not (deployment.home / "iraas").exists()


def test_teardown_names_the_files_that_it_leaves(deployment: Deployment) -> None:
    deployment.run("provision")
    (deployment.home / "iraas" / "notes.txt").write_text("mine")
    left = deployment.run("teardown", "--yes", expect=1)
    assert "leaves for you to remove: notes.txt" in left.stderr
    assert "there remains 1 resource." in left.stderr
    (summary,) = deployment.json("teardown", "--yes", expect=1)
    assert [one["kind"] for one in summary["remains"]] == ["folder"]


def test_teardown_ends_the_workers(deployment: Deployment, photo: Path) -> None:
    send(deployment, photo)
    controller = deployment.start("controller", IRAAS_IDLE_TIMEOUT_S="60")
    deployment.wait_for_a_running_worker()
    controller.send_signal(signal.SIGTERM)
    finish(controller)
    deployment.run("teardown", "--yes")
    assert deployment.processes() == []


def test_teardown_can_keep_the_data(deployment: Deployment, photo: Path) -> None:
    job = send(deployment, photo)
    deployment.run("worker")
    kept = deployment.run("teardown", "--yes", "--keep-data")
    assert "Nothing remains of the deployment iraas but its data." in kept.stderr
    assert not (deployment.home / "iraas" / "queues").exists()
    assert len(deployment.json("results", job)) == 3


def test_teardown_touches_no_other_deployment(deployment: Deployment) -> None:
    deployment.run("provision", "--deployment", "blue")
    deployment.run("provision", "--deployment", "green")
    deployment.run("teardown", "--yes", "--deployment", "blue")
    assert [one.name for one in deployment.home.iterdir()] == ["green"]


def test_config_shows_each_value_and_where_it_came_from(deployment: Deployment) -> None:
    (deployment.folder / "iraas.toml").write_text("[default]\nmax_attempts = 5\n[big]\nlease_s=90")
    (shown,) = deployment.json("config", "show", "--idle-timeout-s", "7")
    assert shown["idle_timeout_s"] == {"value": 7.0, "source": "flag"}
    assert shown["home"] == {"value": str(deployment.home), "source": "environment IRAAS_HOME"}
    assert shown["max_attempts"] == {"value": 5, "source": "iraas.toml [default]"}
    assert shown["deployment"] == {"value": "iraas", "source": "default"}
    (big,) = deployment.json("config", "show", "--profile", "big")
    assert big["lease_s"] == {"value": 90.0, "source": "iraas.toml [big]"}
    lines = deployment.run("config", "show", COLUMNS="20").stdout.splitlines()
    assert ["max_attempts", "5", "iraas.toml [default]"] in [
        re.split(r"\s{2,}", line.strip()) for line in lines
    ]
    assert len(lines) == len(shown) + 1


def test_an_unset_secret_is_shown_as_unset(deployment: Deployment) -> None:
    lines = deployment.run("config", "show").stdout.splitlines()
    assert ["token", "not set", "default"] in [re.split(r"\s{2,}", one.strip()) for one in lines]


def test_shared_options_may_stand_before_the_command(deployment: Deployment) -> None:
    (shown,) = deployment.json("-d", "blue", "--backend", "aws", "config", "show", "-b", "local")
    assert shown["deployment"] == {"value": "blue", "source": "flag"}
    assert shown["backend"] == {"value": "local", "source": "flag"}


def test_home_and_deployment_can_be_given_by_flag(deployment: Deployment, tmp_path: Path) -> None:
    deployment.run("provision", "--home", str(tmp_path / "else"), "--deployment", "blue")
    assert (tmp_path / "else" / "blue").is_dir()
    assert not deployment.home.exists()


def test_doctor_finds_everything_in_order(finished: Deployment) -> None:
    checks = finished.json("doctor")
    assert [one["name"] for one in checks] == [
        "python", "cores", "classifier", "model", "confinement", "home", "queue", "deployment",
        "dead letters",
    ]  # fmt: skip
    assert all(one["passed"] and one["finding"] for one in checks)
    assert "ok" in finished.run("doctor").stdout


def test_doctor_says_what_is_wrong(deployment: Deployment, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("no folder")
    checks = {
        one["name"]: one
        for one in deployment.json("doctor", "--home", str(in_the_way / "home"), expect=1)
    }
    assert checks["python"]["passed"]
    assert not checks["queue"]["passed"]
    assert checks["queue"]["finding"]


def test_up_serves_and_works_until_it_is_stopped(deployment: Deployment, photo: Path) -> None:
    up = started_up(deployment)
    deployment.add_images("a.jpg", source=photo)
    assert deployment.run("submit", "a.jpg").stdout.startswith("a.jpg\tkoala")
    holder = deployment.json("status")[0]["controller"]
    assert holder.startswith(f"process {up.pid} on ")
    up.send_signal(signal.SIGINT)
    assert finish(up).returncode == 0
    assert deployment.json("status")[0]["controller"] == ""


def test_up_is_ended_by_an_init_system_too(deployment: Deployment) -> None:
    up = started_up(deployment)
    up.send_signal(signal.SIGTERM)
    assert finish(up).returncode == 0
    assert deployment.processes() == []


def started_up(deployment: Deployment) -> subprocess.Popen[str]:
    up = deployment.start("up", "--port", "0")
    assert up.stderr is not None
    assert up.stderr.readline().startswith("The deployment iraas is up")
    return up
