"""The security middleware for clients with wrong tokens, behind a proxy, or with HEAD requests."""

import httpx2
import pytest

from iraas.web.config import WebConfig
from tests.functional.web.test_security_middleware import ONE, TOKEN, log_in
from tests.functional.web.web_process import Serve, WebProcess

PUBLIC_URL = "https://photos.example.com"


def test_a_client_with_too_many_wrong_tokens_is_locked_out(serve: Serve) -> None:
    web = serve(WebConfig(wrong_tokens_per_minute=3), token=TOKEN)
    wrong, right = ({"authorization": f"Bearer {one}"} for one in ("wrong", TOKEN))
    assert web.client.get("/api/v1/status", headers=wrong).status_code == 401
    assert web.client.post("/login", data={"token": "wrong"}).status_code == 403
    assert web.client.get("/api/v1/status", headers=right).status_code == 200
    assert web.client.get("/api/v1/status").status_code == 401  # none at all is not a wrong one
    assert web.client.get("/api/v1/status", headers=wrong).status_code == 401
    for answer in (
        web.client.get("/api/v1/status", headers=right),
        web.client.post("/login", data={"token": TOKEN}),
    ):
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 20
        assert answer.json()["code"] == "too-many-wrong-tokens"
    # All addresses of this machine are one client: any local process can use each of them.
    transport = httpx2.HTTPTransport(local_address="127.0.0.2")
    with httpx2.Client(base_url=web.url, transport=transport) as same:
        assert same.get("/api/v1/status", headers=right).status_code == 429


def test_a_locked_out_client_does_not_lock_out_another(serve: Serve) -> None:
    web = serve(WebConfig(wrong_tokens_per_minute=1), token=TOKEN, public_url=PUBLIC_URL)

    def status(token: str, client: str) -> int:
        headers = {"authorization": f"Bearer {token}", "x-forwarded-for": client}
        return web.client.get("/api/v1/status", headers=headers).status_code

    assert status("wrong", "203.0.113.1") == 401
    assert status(TOKEN, "203.0.113.1") == 429
    assert status(TOKEN, "203.0.113.2") == 200


def test_a_session_continues_while_its_client_is_locked_out(serve: Serve) -> None:
    web = serve(WebConfig(wrong_tokens_per_minute=1), token=TOKEN)
    log_in(web)
    assert httpx2.post(f"{web.url}/login", data={"token": "wrong"}).status_code == 403
    assert httpx2.post(f"{web.url}/login", data={"token": TOKEN}).status_code == 429
    assert web.client.get("/api/v1/status").status_code == 200


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/", "/api/v1/status", "/api/v1/status/events", "/favicon.ico"]
)
def test_every_get_route_answers_head(web: WebProcess, path: str) -> None:
    answer = web.client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    if "events" not in path:
        assert answer.headers["content-type"] == web.client.get(path).headers["content-type"]
    assert web.client.head("/nowhere").status_code == 404


def test_the_icon_is_where_browsers_look_for_it(serve: Serve) -> None:
    answer = serve(token=TOKEN).client.get("/favicon.ico")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.content.startswith(b"<svg")


def test_behind_a_proxy_it_uses_its_public_name(serve: Serve) -> None:
    web = serve(token=TOKEN, public_url="https://photos.example.com")
    at_home = {"host": "photos.example.com"}
    assert web.client.get("/healthz", headers=at_home).status_code == 200
    assert web.client.get("/healthz").status_code == 200
    assert web.client.get("/healthz", headers={"host": "evil.example"}).status_code == 421
    bearer = {"authorization": f"Bearer {TOKEN}"}
    for host in (at_home, {}):  # a proxy may pass the name on or not
        headers = {**bearer, **host, "origin": "https://photos.example.com"}
        assert web.client.post("/api/v1/jobs", files=ONE, headers=headers).status_code == 202
    foreign = {**bearer, "origin": "https://evil.example"}
    assert web.client.post("/api/v1/jobs", files=ONE, headers=foreign).status_code == 403
    cookie = web.client.post("/login", data={"token": TOKEN}).headers["set-cookie"].lower()
    assert "secure" in cookie
    assert "https://photos.example.com/api/v1/" in web.client.get("/docs", headers=bearer).text
    assert web.server.public_url == "https://photos.example.com"


def test_behind_a_proxy_clients_are_distinguished_by_the_forwarded_address(serve: Serve) -> None:
    limits = WebConfig(requests_per_s=0.01, request_burst=1)
    proxied = serve(limits, token=TOKEN, public_url="https://photos.example.com")

    def ask(web: WebProcess, forwarded: str) -> int:
        return web.client.get("/login", headers={"x-forwarded-for": forwarded}).status_code

    assert [ask(proxied, "203.0.113.1"), ask(proxied, "203.0.113.2")] == [200, 200]
    assert ask(proxied, "198.51.100.7, 203.0.113.1") == 429  # only the proxy's word counts
    direct = serve(limits, token=TOKEN)
    assert [ask(direct, "203.0.113.1"), ask(direct, "203.0.113.2")] == [200, 429]


def test_metrics_have_a_bounded_number_of_labels(serve: Serve) -> None:
    web = serve(token=TOKEN)
    headers = {"authorization": f"Bearer {TOKEN}"}
    web.client.post("/api/v1/classify", content=b"no image", headers=headers)
    web.client.get("/api/v1/jobs/unknown", headers=headers)
    web.client.get("/static/iraas.css")
    web.client.get("/static/nowhere")
    web.client.get("/dashboard")
    web.client.get("/some/where", headers=headers)
    text = web.client.get("/metrics", headers=headers).text
    for route, method, status in (
        ("/api/v1/classify", "POST", 422),
        ("/api/v1/jobs/{job_id}", "GET", 404),
        ("static", "GET", 200),
        ("static", "GET", 404),
        ("refused", "GET", 401),
        ("none", "GET", 404),
    ):
        name = f'method="{method}",route="{route}",status="{status}"'
        assert f"iraas_http_requests_total{{{name}}} 1.0" in text, name
