"""The page templates. All values are escaped."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

import iraas

MINUTE_S, HOUR_S = 60, 3600


@cache
def environment() -> Environment:
    """Return the template environment of this package."""
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
    found.filters["iso"] = _iso
    found.filters["duration"] = _duration
    found.filters["seconds"] = _seconds
    found.filters["figure"] = _figure
    found.filters["ticks"] = _ticks
    found.filters["capitalised"] = _capitalised
    return found


def page(
    name: str,
    values: Mapping[str, object],
    *,
    status: int = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> HTMLResponse:
    """Render a page from a template.

    Args:
        name: The template's name, without its extension.
        values: The template's values.
        status: The HTTP status.
        headers: Additional headers.
    """
    text = environment().get_template(f"{name}.html").render(values)
    return HTMLResponse(text, status_code=status, headers=headers)


def static_folder() -> str:
    """Return the folder of style sheets and scripts."""
    return str(files("iraas.web") / "static")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}%"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _duration(seconds: float) -> str:
    """Format a duration, such as 12 s, 3 min 5 s, or 2 h 7 min."""
    whole = int(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"


def _seconds(time_s: float) -> str:
    """Format a short duration with a suitable precision."""
    if time_s < 1:
        return f"{time_s:.2f} s"
    return f"{time_s:.1f} s" if time_s < MINUTE_S else _duration(time_s)


def _figure(value: float) -> str:
    """Format a number in few characters, such as 0, 0.4, 12 or 31k."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if value >= 10 * limit:
            return f"{value / limit:.0f}{letter}"
    return f"{value:.0f}" if value == int(value) else f"{value:.1f}"


def _ticks(text: str) -> Markup:
    """Render text between backticks as code."""
    parts = text.split("`")
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
