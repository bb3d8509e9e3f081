"""Generators of the domain's values, for the property tests."""

from hypothesis import strategies as st

from iraas.core.ids import ALPHABET, MAX_JOB_SIZE, request_id
from iraas.core.messages import MAX_NAME_CHARACTERS, Request
from iraas.core.outcomes import LabelScore, Outcome, Prediction

ODD_NAMES = [
    "",
    "cat.jpg",
    "../../etc/passwd",
    "a\x00b\x1b[31mred\x1b[0m.png",
    "[bold]markup[/bold] :cat:.jpg",
    "naïve 猫 🐈‍⬛.webp",
    "line\nbreak\r\n\u2028.gif",
    '"quoted\\backslash',
    "\u202egpj.exe",
    "x" * MAX_NAME_CHARACTERS,
    "\U0010ffff" * MAX_NAME_CHARACTERS,
]

storable_texts = st.text(st.characters(exclude_categories=["Cs"]))
any_texts = st.text(st.characters())
names = st.sampled_from(ODD_NAMES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
times = st.floats(0, 1e11).map(lambda number: round(number, 6))
plain_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?", fullmatch=True)
job_ids = st.builds(
    "".join,
    st.tuples(st.sampled_from("01234567"), st.text(ALPHABET, min_size=25, max_size=25)),
)
indexes = st.integers(0, MAX_JOB_SIZE - 1)
request_ids = st.builds(request_id, job_ids, indexes)
keys = st.from_regex(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}(/[A-Za-z0-9][A-Za-z0-9._-]{0,20}){0,5}", fullmatch=True
)

_common = {"request_id": request_ids, "name": names, "submitted_at": times}
_reply_to = st.just("") | plain_names
requests = st.builds(
    Request, **_common, reply_to=_reply_to, image=st.binary(max_size=300)
) | st.builds(Request, **_common, reply_to=_reply_to, input_key=keys)

scores = st.floats(0, 1).map(lambda number: round(number, 6))
label_scores = st.builds(LabelScore, storable_texts, scores)
predictions = st.builds(Prediction, st.lists(label_scores, min_size=1, max_size=5).map(tuple))
outcomes = st.builds(
    Outcome,
    request_id=request_ids,
    job_id=job_ids,
    name=names,
    prediction=st.none() | predictions,
    reason=storable_texts,
    model=storable_texts,
    worker=storable_texts,
    attempts=st.integers(0, 10**6),
    submitted_at=times,
    completed_at=times,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | any_texts
    | st.sampled_from(["request", "reply", "ok", "failed", "1"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_texts, inner, max_size=4),
    max_leaves=8,
)
"""Any value that `json.loads` can return, NaN and infinity included."""
