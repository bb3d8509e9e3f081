"""The security middleware: access, and the headers of every answer."""

import socket

import httpx2
import pytest

from iraas.backends.memory import MemoryBackend
from iraas.errors import BackendUnavailableError, ConfigurationError
from iraas.web.config import WebConfig
from iraas.web.security.authenticator import COOKIE
from iraas.web.server import WebServer, check_safe
from tests.fakes.scripted_classifier import image_bytes
from tests.functional.web.web_process import DEPLOYMENT, Serve, WebProcess
from tests.waiting import PATIENCE_S

TOKEN = "correct horse battery staple"
ONE = [("images", ("cat.jpg", image_bytes("cat")))]


def log_in(web: WebProcess) -> str:
    """Log in with the client; returns the CSRF token of its pages."""
    answer = web.client.post("/login", data={"token": TOKEN, "next": "/dashboard"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/dashboard"
    page = web.client.get("/").text
    return page.split('name="csrf-token" content="')[1].split('"')[0]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.10", "example.com"])
def test_beyond_loopback_it_refuses_to_start_without_a_token(host: str) -> None:
    with pytest.raises(ConfigurationError, match="requires a token"):
        WebServer(MemoryBackend(), deployment=DEPLOYMENT, host=host, port=0)


@pytest.mark.parametrize(
    ("host", "public_url"), [("0.0.0.0", ""), ("127.0.0.1", "https://photos.example.com")]
)
def test_beyond_loopback_a_token_cannot_be_guessed(host: str, public_url: str) -> None:
    with pytest.raises(ConfigurationError, match="16 characters") as caught:
        check_safe(host, "sesame", public_url)
    assert "openssl rand -hex 16" in caught.value.remedy
    with pytest.raises(ConfigurationError, match="requires a token"):
        check_safe(host, None, public_url)
    check_safe(host, "0123456789abcdef", public_url)


@pytest.mark.parametrize("token", ["", "  "])
def test_an_empty_token_is_no_token(token: str) -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        WebServer(MemoryBackend(), deployment=DEPLOYMENT, host="0.0.0.0", port=0, token=token)


def test_a_port_in_use_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigurationError, match="cannot listen"):
            WebServer(MemoryBackend(), deployment=DEPLOYMENT, port=taken.getsockname()[1])


def test_without_the_token_every_page_is_refused(serve: Serve) -> None:
    web = serve(token=TOKEN)
    for method, path in (
        ("GET", "/"),
        ("GET", "/dashboard"),
        ("GET", "/metrics"),
        ("GET", "/api/v1/status"),
        ("GET", "/api/v1/openapi.json"),
        ("POST", "/api/v1/jobs"),
        ("POST", "/api/v1/classify"),
        ("POST", "/"),
        ("POST", "/upload"),
        ("POST", "/logout"),
    ):
        for headers in ({}, {"authorization": "Bearer wrong"}, {"cookie": f"{COOKIE}=a.9.b"}):
            answer = web.client.request(method, path, headers=headers)
            assert answer.status_code == 401, (method, path, headers)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in ("/healthz", "/readyz", "/login", "/static/iraas.css"):
        assert web.client.get(path).status_code == 200, path


def test_a_program_sends_the_token_as_a_bearer(serve: Serve) -> None:
    web = serve(token=TOKEN)
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert web.client.get("/api/v1/status", headers=headers).status_code == 200
    assert web.client.post("/api/v1/jobs", files=ONE, headers=headers).status_code == 202


def test_a_browser_is_redirected_to_the_login_and_back(serve: Serve) -> None:
    web = serve(token=TOKEN)
    answer = web.client.get("/jobs/abc", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=/jobs/abc")
    assert web.client.post("/login", data={"token": "wrong"}).status_code == 403
    log_in(web)
    assert web.client.get("/dashboard").status_code == 200


def test_the_session_cookie_is_kept_from_scripts_and_other_sites(serve: Serve) -> None:
    web = serve(token=TOKEN)
    cookie = web.client.post("/login", data={"token": TOKEN}).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "a"]
)
def test_the_login_redirects_only_within_the_site(serve: Serve, target: str) -> None:
    web = serve(token=TOKEN)
    answer = web.client.post("/login", data={"token": TOKEN, "next": target})
    assert answer.headers["location"] == "/"


def test_a_session_changes_nothing_without_its_csrf_token(serve: Serve) -> None:
    web = serve(token=TOKEN)
    csrf = log_in(web)
    assert web.client.post("/api/v1/jobs", files=ONE).status_code == 403
    wrong = {"x-csrf-token": "0" * 64}
    assert web.client.post("/api/v1/jobs", files=ONE, headers=wrong).status_code == 403
    right = {"x-csrf-token": csrf}
    assert web.client.post("/api/v1/jobs", files=ONE, headers=right).status_code == 202


def test_a_plain_form_carries_its_csrf_token_as_a_field(
    serve: Serve, backend: MemoryBackend
) -> None:
    web = serve(token=TOKEN)
    csrf = log_in(web)
    assert web.client.post("/upload", files=ONE).status_code == 403
    wrong = {"csrf": "0" * 64}
    assert web.client.post("/upload", data=wrong, files=ONE).status_code == 403
    assert backend.requests.depth().total == 0
    answer = web.client.post("/upload", data={"csrf": csrf}, files=ONE)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/jobs/")
    assert web.client.post("/examples", data={"csrf": "x"}).status_code == 403
    assert web.client.post("/examples", data={"csrf": csrf}).status_code == 303
    assert web.client.post("/logout", data={"csrf": csrf}).status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_cannot_make_a_browser_send(
    web: WebProcess, backend: MemoryBackend, headers: dict[str, str]
) -> None:
    assert web.client.post("/api/v1/jobs", files=ONE, headers=headers).status_code == 403
    assert web.client.post("/upload", files=ONE, headers=headers).status_code == 403
    assert backend.requests.depth().total == 0


def test_a_page_of_its_own_may_send(web: WebProcess) -> None:
    headers = {"origin": web.url, "sec-fetch-site": "same-origin"}
    assert web.client.post("/api/v1/jobs", files=ONE, headers=headers).status_code == 202


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "", "127.0.0.1.evil.com"])
def test_on_loopback_other_host_names_are_refused(web: WebProcess, host: str) -> None:
    assert web.client.get("/", headers={"host": host}).status_code == 421
    for good in ("localhost", f"127.0.0.1:{web.port}", "[::1]:80", "LOCALHOST:1"):
        assert web.client.get("/healthz", headers={"host": good}).status_code == 200


def test_a_rate_limited_client_gets_a_retry_time(serve: Serve) -> None:
    web = serve(WebConfig(requests_per_s=0.5, request_burst=3))
    statuses = [web.client.get("/login").status_code for _ in range(5)]
    assert statuses == [303, 303, 303, 429, 429]
    assert web.client.get("/login").headers["retry-after"] in {"1", "2"}


def test_probes_are_answered_whatever_the_rate(serve: Serve) -> None:
    web = serve(WebConfig(requests_per_s=0.5, request_burst=1))
    for path in ("/healthz", "/readyz"):
        assert {web.client.get(path).status_code for _ in range(5)} == {200}


@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/nowhere", "/static/iraas.css"])
def test_every_answer_has_security_headers(web: WebProcess, path: str) -> None:
    headers = web.client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "server" not in headers


def test_pages_have_no_inline_script_or_style(web: WebProcess) -> None:
    job = web.client.post("/api/v1/jobs", files=ONE).json()["url"]
    for path in ("/", "/dashboard", "/docs", "/login", job):
        text = web.client.get(path).text.lower()
        assert "<script>" not in text, path
        assert "<style" not in text, path
        assert " style=" not in text, path
        assert " onclick=" not in text, path
        assert "http://" not in text.replace("http://127.0.0.1", "").replace("http://www.w3", "")
        assert "https://" not in text, path


def test_an_error_in_a_browser_is_a_page(web: WebProcess) -> None:
    answer = web.client.get("/nowhere", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "<h1>" in answer.text


def test_unknown_methods_are_refused(web: WebProcess) -> None:
    answer = web.client.put("/api/v1/jobs")
    assert answer.status_code == 405
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_lost_backend_is_a_503_with_a_retry_time(
    web: WebProcess, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise BackendUnavailableError("the disk is full")

    monkeypatch.setattr(backend.requests, "send", away)
    answer = web.client.post(
        "/api/v1/classify", content=image_bytes("cat"), headers={"content-type": "image/jpeg"}
    )
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
    assert web.client.post("/api/v1/jobs", files=ONE).status_code == 503


def test_the_bytes_of_an_image_are_never_shown_as_a_page(web: WebProcess) -> None:
    page = image_bytes("<html><script>alert(1)</script>")
    job = web.client.post("/api/v1/jobs", files=[("f", ("x.html", page))]).json()["job_id"]
    for path in ("", "/thumbnail"):
        answer = web.client.get(f"/api/v1/jobs/{job}/images/0{path}")
        if answer.status_code == 200:
            assert "html" not in answer.headers["content-type"]
            assert "sandbox" in answer.headers["content-security-policy"]


def test_a_client_of_another_protocol_is_refused(web: WebProcess) -> None:
    with socket.create_connection(("127.0.0.1", web.port), PATIENCE_S) as raw:
        raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not http\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert httpx2.get(f"{web.url}/healthz").status_code == 200


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]", "null", "\xff"])
def test_an_invalid_origin_is_another_site(web: WebProcess, origin: str) -> None:
    answer = web.client.post("/login", headers={b"Origin": origin.encode("latin-1")})
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign-origin")
