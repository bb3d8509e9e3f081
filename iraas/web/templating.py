"""The page templates. Everything that goes into one is escaped."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

import iraas


@cache
def environment() -> Environment:
    """The templates of this package."""
    found = Environment(
        loader=PackageLoader("iraas.web"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.globals["version"] = iraas.__version__
    found.filters["percent"] = _percent
    found.filters["moment"] = _moment
    return found


def page(
    name: str,
    values: Mapping[str, object],
    *,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """A page made from a template.

    Args:
        name: The template's name, without its ending.
        values: What the template shows.
        status: The HTTP status.
        headers: Further headers.
    """
    text = environment().get_template(f"{name}.html").render(values)
    return HTMLResponse(text, status_code=status, headers=headers)


def static_folder() -> str:
    """Where the style sheets and scripts are."""
    return str(files("iraas.web") / "static")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
