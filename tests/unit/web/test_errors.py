"""The error report of a failed request."""

import pytest

from iraas.web.errors import error_response


def test_a_path_forges_no_line_in_the_log_and_steers_no_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = "/\x1b[2J\n2026-11-25 13:00:00,000 ERROR iraas: forged\r"
    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    assert error_response(RuntimeError("a fault"), scope).status_code == 500
    (record,) = caplog.records
    assert "forged" in record.getMessage()
    assert record.getMessage().isprintable()
