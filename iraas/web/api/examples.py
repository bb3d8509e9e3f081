"""Examples for the schemas of the OpenAPI document; tests validate them against the schemas."""

from typing import Any

JOB_ID = "01kaq3f8x2m4t6v8z0b2d4f6h8"
_URL = f"/jobs/{JOB_ID}"
_SCORE: dict[str, Any] = {"label": "tabby", "score": 0.62}
OUTCOME: dict[str, Any] = {
    "request_id": f"{JOB_ID}-00000000",
    "job_id": JOB_ID,
    "name": "cat.jpg",
    "status": "ok",
    "label": "tabby",
    "score": 0.62,
    "top": [_SCORE, {"label": "tiger cat", "score": 0.21}],
    "reason": None,
    "model": "efficientnet-lite0@1f2e3d4c",
    "worker": "w-1a2b3c4d",
    "attempts": 1,
    "submitted_at": 1790000000.1,
    "completed_at": 1790000000.4,
}
_IMAGE: dict[str, Any] = {
    "index": 0,
    "name": "cat.jpg",
    "image_url": f"/api/v1{_URL}/images/0",
    "thumbnail_url": f"/api/v1{_URL}/images/0/thumbnail",
    "outcome": OUTCOME,
}
_REFUSAL = {
    "index": 2,
    "name": "notes.txt",
    "reason": "it is not a JPEG, PNG, WebP, GIF, BMP or TIFF image",
}
_TICKET = "01kaq3f8x2m4t6v8z0b2d4f6h9"
_QUEUE = {"visible": 38, "in_flight": 2, "delayed": 0}
_WORKER = {
    "worker_id": "w-1a2b3c4d",
    "state": "running",
    "age_s": 12.5,
    "kind": "process",
    "pricing": "free",
    "done": 240,
    "images_per_s": 31.5,
}
_MACHINE = {
    "instance_id": "i-0a1b2c3d4e5f60718",
    "role": "web",
    "state": "running",
    "age_s": 3600.0,
    "kind": "t3.small",
    "pricing": "on-demand",
}
_DECISION = {
    "at": 1790000000.0,
    "visible": 38,
    "in_flight": 2,
    "delayed": 0,
    "booting": 0,
    "running": 2,
    "wanted": 2,
    "launched": 0,
    "reason": "40 images are waiting or in work, and 2 workers are the limit",
    "removed": {},
    "broken_in_a_row": 0,
}
EXAMPLES: dict[str, Any] = {
    "LabelScoreModel": _SCORE,
    "OutcomeModel": OUTCOME,
    "TicketModel": {"ticket": _TICKET, "url": f"/api/v1/tickets/{_TICKET}", "status": "pending"},
    "RefusalModel": _REFUSAL,
    "AcceptedModel": {
        "job_id": JOB_ID,
        "url": _URL,
        "state": "working",
        "accepted": 2,
        "refused": [_REFUSAL],
    },
    "JobImageModel": _IMAGE,
    "JobModel": {
        "job_id": JOB_ID,
        "url": _URL,
        "events_url": f"/api/v1{_URL}/events",
        "created_at": 1790000000.0,
        "state": "working",
        "cancelled": False,
        "total": 40,
        "done": 2,
        "failed": 0,
        "is_counted": True,
        "images": [_IMAGE],
        "next": f"/api/v1{_URL}?after=0&limit=1&status=all",
    },
    "RetriedModel": {"retried": 3},
    "Problem": {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "20000 images are waiting for their outcome, and 20000 is the limit",
        "code": "busy",
        "remedy": "Try again in 5 s.",
    },
    "QueueDepth": _QUEUE,
    "WorkerStatus": _WORKER,
    "MachineStatus": _MACHINE,
    "ScalingDecision": _DECISION,
    "Status": {
        "deployment": "iraas",
        "backend": "local",
        "at": 1790000000.4,
        "queue": _QUEUE,
        "dead_letters": 0,
        "workers": [_WORKER],
        "done": 240,
        "failed": 3,
        "images_per_s": 31.5,
        "spent_usd": 0.0,
        "hour_usd": 0.0,
        "per_thousand_usd": None,
        "controller": "host-4711",
        "decision": _DECISION,
        "machines": [_MACHINE],
        "unpriced": [],
    },
}
