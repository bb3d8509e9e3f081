"""Download of a job's outcomes as a file."""

import csv
import io
import json
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from starlette.responses import Response, StreamingResponse

from iraas.core.control_chars import csv_text
from iraas.monitoring.job_progress import JobImage, JobProgress
from iraas.web.api.jobs import JobId, find_progress
from iraas.web.state import AppState, state_of

router = APIRouter(tags=["Jobs"])
PAGE_SIZE = 500
BYTE_ORDER_MARK = "\ufeff"
"""Tells spreadsheets that a file is UTF-8."""
COLUMNS = (
    "name", "status", "label", "score", "reason", "top", "request_id", "job_id",
    "model", "worker", "attempts", "submitted_at", "completed_at",
)  # fmt: skip
FileFormat = Literal["csv", "json", "jsonl"]
MEDIA_TYPES: dict[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/jsonl",
}


@router.get(
    "/api/v1/jobs/{job_id}/outcomes.{ending}",
    summary="Download a job's outcomes",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}, "application/json": {}, "application/jsonl": {}}}},
)
async def download(
    request: Request,
    job_id: JobId,
    ending: Annotated[FileFormat, Path(description="CSV, a JSON array, or JSON lines.")],
) -> Response:
    """All outcomes available so far, in the order of the images. The CSV file is for people:
    control characters and bidirectional marks are escaped, and an apostrophe precedes what a
    spreadsheet would evaluate as a formula. JSON contains every text unchanged.
    """
    state = state_of(request)
    progress = await find_progress(state, job_id)
    filename = f"iraas-{job_id}.{ending}"
    return StreamingResponse(
        _rows(state, progress, ending),
        media_type=MEDIA_TYPES[ending],
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


async def _rows(state: AppState, progress: JobProgress, ending: FileFormat) -> AsyncIterator[str]:
    if ending == "csv":
        yield BYTE_ORDER_MARK + csv_row(COLUMNS)
    elif ending == "json":
        yield "["
    is_first = True
    async for image in _images(state, progress):
        if image.outcome is None:
            continue
        if ending == "csv":
            value = image.outcome.to_json()
            value["top"] = "; ".join(
                f"{item['label']} {item['score']:.4f}" for item in value["top"]
            )
            yield csv_row(tuple(value[name] for name in COLUMNS))
        else:
            text = json.dumps(image.outcome.to_json(), ensure_ascii=False)
            yield f"{text}\n" if ending == "jsonl" else f"{'' if is_first else ','}\n{text}"
        is_first = False
    if ending == "json":
        yield "\n]\n"


async def _images(state: AppState, progress: JobProgress) -> AsyncIterator[JobImage]:
    after = -1
    while images := await state.run(progress.images, after=after, limit=PAGE_SIZE):
        for image in images:
            yield image
        after = images[-1].index


def csv_row(values: tuple[object, ...]) -> str:
    """Format a CSV line that is safe to open in a terminal and in a spreadsheet."""
    file = io.StringIO()
    csv.writer(file).writerow(
        [csv_text(value) if isinstance(value, str) else value for value in values]
    )
    return file.getvalue()
