"""transfer serve: the answers are those of predict and explain; whoever is not the page itself is refused; nothing that
can be sent ends the server, is written anywhere or comes back as a traceback."""

import base64
import io
import json
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from serving import (
    LONG,
    a_run,
    a_run_of_pictures,
    a_run_of_texts,
    a_run_of_vectors,
    app_of,
    ask,
    environment,
    served,
)  # fmt: skip
from starlette.testclient import TestClient

from transfer_cli.serve import asked
from transfer_cli.serve.app import PAGE

Transfer = Callable[..., Any]
PORT = 8123
PNG, JSON = {"content-type": "image/png"}, {"content-type": "application/json"}


class Place(NamedTuple):
    """Runs by what they read, of the data in `root`."""

    root: Path
    names: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("serve")
    made = {"pictures": a_run_of_pictures, "texts": a_run_of_texts, "vectors": a_run_of_vectors}
    return Place(root, {reads: make(root) for reads, make in made.items()})


@pytest.fixture(scope="module")
def clients(place: Place) -> dict[str, TestClient]:
    base = f"http://127.0.0.1:{PORT}"
    return {reads: TestClient(app_of(place.root, name, PORT), base) for reads, name in place.names.items()}


@pytest.fixture
def pictures(clients: dict[str, TestClient]) -> TestClient:
    return clients["pictures"]


@pytest.fixture(scope="module")
def picture(place: Place) -> bytes:
    return (place.root / "pics" / "test" / "dog" / "00.png").read_bytes()


def png(width: int, height: int) -> bytes:
    """A few hundred bytes whose header declares this many grey pixels."""
    header = struct.pack(">II5B", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


# answers
def test_the_page_and_its_facts(clients: dict[str, TestClient], place: Place) -> None:
    for reads, client in clients.items():
        told = client.get("/about").json()
        assert (told["reads"], told["id"], told["explains"]) == (reads, place.names[reads], reads != "vectors")
        assert told["result"].startswith("accuracy ")
    assert told["model"] == "mlp_vectors"
    assert told["classes"] == ["low", "high"]
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for name in ("/page.js", "/page.css"):
        assert name in page.text
        assert client.get(name).status_code == 200


def test_the_page_runs_nothing_inline_and_refers_to_nothing_outside() -> None:
    texts = {path.name: path.read_text() for path in PAGE.iterdir()}
    assert set(texts) == {"index.html", "page.js", "page.css"}
    for word in (" style=", " onclick=", "<style", "<script>", "//"):
        assert word not in texts["index.html"], word
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http:", "https:"):
        assert word not in texts["page.js"], word
    assert "url(" not in texts["page.css"]


def test_every_response_has_the_security_headers(pictures: TestClient) -> None:
    for path in ("/", "/about", "/page.js", "/nothing", "/predict"):
        headers = pictures.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert not [name for name in headers if name.startswith("access-control")]


def told(capsys: Any, *argv: str) -> list[dict[str, Any]]:
    """Rows that a command prints."""
    from transfer_cli.cli.main import main

    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    return list(json.loads(capsys.readouterr().out)["rows"])


def test_answers_for_pictures_equal_the_commands(
    pictures: TestClient, place: Place, picture: bytes, tmp_path: Path, capsys: Any
) -> None:
    file, where = str(place.root / "pics" / "test" / "dog" / "00.png"), ["--runs", str(place.root / "runs")]
    (row,) = told(capsys, "predict", place.names["pictures"], file, *where)
    got = pictures.post("/predict", content=picture, headers=PNG).json()
    assert got["class"] == row["class"]
    assert got["probabilities"] == pytest.approx({"cat": row["p_cat"], "dog": row["p_dog"]}, abs=1e-6)
    reasons = told(capsys, "explain", place.names["pictures"], file, *where, "-o", str(tmp_path / "drawn"))
    got = pictures.post("/explain", content=picture, headers={"content-type": "application/octet-stream"}).json()
    assert len(got["reasons"]) == len(reasons)
    for mine, theirs in zip(got["reasons"], reasons, strict=True):
        assert (mine["class"], mine["by"]) == (theirs["class"], theirs["by"])
        for key in ("probability", "without", "without_random"):
            assert mine[key] == pytest.approx(theirs[key], abs=1e-6)
        head, _, data = mine["drawing"].partition(",")
        assert head == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))) == Image.open(theirs["drawing"])


def test_answers_for_texts_equal_the_commands(clients: dict[str, TestClient], place: Place, capsys: Any) -> None:
    text = "happy item <b>7</b>"
    got = clients["texts"].post("/explain", json={"text": text}).json()
    rows = told(capsys, "explain", place.names["texts"], text, "--runs", str(place.root / "runs"))
    assert got["class"] == "pro"
    for reason, row in zip(got["reasons"], rows, strict=True):
        assert (reason["class"], reason["by"]) == (row["class"], "gradients")
        assert "".join(piece for piece, _ in reason["pieces"]) == text
        values = [value for _, value in row["tokens"]]
        assert [value for _, value in reason["pieces"]] == pytest.approx(values, abs=1e-6)
    assert clients["texts"].post("/predict", json={"text": text}).json()["probabilities"] == pytest.approx(
        got["probabilities"], abs=1e-5
    )


def test_a_text_of_one_token_has_no_probability_without_it(clients: dict[str, TestClient]) -> None:
    (reason, *_) = clients["texts"].post("/explain", json={"text": "a"}).json()["reasons"]
    assert (len(reason["pieces"]), reason["without"]) == (1, None)


def test_a_row_of_numbers_gets_its_class_and_no_reason(clients: dict[str, TestClient]) -> None:
    for vector, wanted in (([0, 0.1, -0.2], "low"), ([4, 4.2, 3.9], "high")):
        got = clients["vectors"].post("/predict", json={"vector": vector}).json()
        assert got["class"] == wanted
        assert sum(got["probabilities"].values()) == pytest.approx(1)
    refused = clients["vectors"].post("/explain", json={"vector": [1, 2, 3]})
    assert (refused.status_code, "reads vectors" in refused.json()["error"]) == (422, True)


# hosts and origins
@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": f"evil.example:{PORT}"},
        {"host": f"127.0.0.1.evil.example:{PORT}"},
        {"host": "127.0.0.1"},
        {"host": f"127.0.0.1:{PORT + 1}"},
        {"host": f"0.0.0.0:{PORT}"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"https://127.0.0.1:{PORT}"},
        {"origin": f"http://127.0.0.1:{PORT + 1}"},
        {"origin": f"http://localhost:{PORT}"},
    ],
    ids=str,
)
def test_other_hosts_and_origins_are_refused(headers: dict[str, str], pictures: TestClient, picture: bytes) -> None:
    for reply in (
        pictures.get("/about", headers=headers),
        pictures.post("/predict", content=picture, headers={**PNG, **headers}),
        pictures.request("OPTIONS", "/predict", headers=headers),
    ):
        assert (reply.status_code, list(reply.json())) == (403, ["error"])
        assert not [name for name in reply.headers if name.startswith("access-control")]


def test_each_local_host_name_is_accepted(pictures: TestClient, picture: bytes) -> None:
    for name in (f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"):
        headers = {**PNG, "host": name, "origin": f"http://{name}"}
        assert pictures.post("/predict", content=picture, headers=headers).status_code == 200


# hostile requests
def chunks(total: int) -> Iterator[bytes]:
    """A body without a length."""
    for _ in range(total // 1000):
        yield b"x" * 1000


PICTURES: dict[str, tuple[dict[str, str], bytes, int, str]] = {
    "a text": (PNG, b"hello", 422, "no PNG, JPEG, BMP or WebP picture"),
    "markup": ({"content-type": "image/svg+xml"}, b"<svg onload='alert(1)'/>", 422, "no PNG, JPEG"),
    "nothing": (PNG, b"", 400, "nothing was sent"),
    "cut short": (PNG, png(40, 40)[:60], 422, "PNG ends at byte 60"),
    "a bomb": (PNG, png(30_000, 30_000), 422, "more than 89,478,485 pixels"),
    "thin": (PNG, png(1, 5_000), 422, "one side is more than 1,000 times the other"),
    "a form": ({"content-type": "multipart/form-data; boundary=x"}, b"--x\r\n\r\nbroken", 415, "send the file itself"),
    "a form without boundary": ({"content-type": "multipart/form-data"}, b"--", 415, "send the file itself"),
    "JSON": (JSON, b'{"text": "x"}', 415, "the run reads pictures"),
    "no type": ({}, b"x", 415, "the run reads pictures"),
}


@pytest.mark.parametrize("path", ["/predict", "/explain"])
@pytest.mark.parametrize("what", PICTURES)
def test_invalid_pictures(what: str, path: str, pictures: TestClient) -> None:
    headers, body, status, words = PICTURES[what]
    reply = pictures.post(path, content=body, headers=headers)
    assert (reply.status_code, words in reply.json()["error"]) == (status, True), reply.text


TEXTS = {
    "not JSON": (b"{", 400, "the body is not valid JSON"),
    "not Unicode": (b'{"text": "\xff"}', 400, "the body is not valid JSON"),
    "too deep": (b"[" * 100_000, 400, "the body is not valid JSON"),
    "a list": (b"[1]", 400, 'expected {"text": ...}'),
    "another key": (b'{"file": "/etc/passwd"}', 400, 'expected {"text": ...}'),
    "a number": (b'{"text": 5}', 400, "must be a string"),
    "half a character": (b'{"text": "a\\ud800"}', 400, "half a character"),
    "empty": (b'{"text": " \\n"}', 422, "is empty"),
    "very long": (json.dumps({"text": "good " * 30_000}).encode(), 413, "more than 100,000 characters"),
    "nothing": (b"", 400, "nothing was sent"),
}


@pytest.mark.parametrize("path", ["/predict", "/explain"])
@pytest.mark.parametrize("what", TEXTS)
def test_invalid_texts(what: str, path: str, clients: dict[str, TestClient]) -> None:
    body, status, words = TEXTS[what]
    reply = clients["texts"].post(path, content=body, headers=JSON)
    assert (reply.status_code, words in reply.json()["error"]) == (status, True), reply.text


@pytest.mark.parametrize(
    ("vector", "status", "words"),
    [
        ("[1, 2]", 422, "has 2 numbers, the net of the run reads 3"),
        ("[]", 422, "has 0 numbers, the net"),
        ("[1, 2, NaN]", 400, "not valid JSON"),
        ("[1, 2, 1e400]", 422, "too large"),
        ("[1, 2, 1e39]", 422, "too large"),
        (f"[1, 2, 1{'0' * 400}]", 422, "too large"),
        (f"[1, 2, 1{'0' * 5000}]", 400, "not valid JSON"),
        ("[1, 2, true]", 400, "a list of numbers"),
        ('[1, 2, "3"]', 400, "a list of numbers"),
        ("[[1, 2, 3]]", 400, "a list of numbers"),
        ("3", 400, "a list of numbers"),
    ],
)
def test_invalid_vectors(vector: str, status: int, words: str, clients: dict[str, TestClient]) -> None:
    reply = clients["vectors"].post("/predict", content=f'{{"vector": {vector}}}', headers=JSON)
    assert (reply.status_code, words in reply.json()["error"]) == (status, True), reply.text


def test_unusual_valid_texts_are_answered(clients: dict[str, TestClient]) -> None:
    for text in ("\0", "\u202egood", "😀 happy", "<script>alert(1)</script>", "good " * 1000, "\x1b[31m", "ﷺ" * 50):
        reply = clients["texts"].post("/explain", json={"text": text})
        assert reply.status_code == 200, (text[:20], reply.text)
        for reason in reply.json()["reasons"]:
            assert text.startswith("".join(piece for piece, _ in reason["pieces"]))


@pytest.mark.parametrize("length", [True, False])
def test_a_body_is_counted_while_it_is_read(
    length: bool, pictures: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asked, "MOST_BYTES", 50_000)
    reply = pictures.post("/predict", content=b"x" * 51_000 if length else chunks(51_000), headers=PNG)
    assert (reply.status_code, "larger than" in reply.json()["error"]) == (413, True)
    assert pictures.post("/predict", content=chunks(49_000), headers=PNG).status_code == 422  # small enough, no picture


def test_other_paths_and_methods(pictures: TestClient) -> None:
    for path in (
        "/nothing",
        "/../app.py",
        "/page/../../app.py",
        "/%2e%2e/app.py",
        "/page.js/",
        "/index.html",
        "/%00",
    ):
        reply = pictures.get(path)
        assert (reply.status_code, reply.json()) == (404, {"error": "no such page"}), path
    for method, path in (("GET", "/predict"), ("PUT", "/explain"), ("DELETE", "/"), ("POST", "/about"), ("POST", "/")):
        reply = pictures.request(method, path)
        assert (reply.status_code, reply.json()) == (405, {"error": f"{path} does not accept {method}"})


def test_a_bug_is_one_line_and_the_server_keeps_running(
    place: Place, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    client = TestClient(app_of(place.root, place.names["pictures"], PORT, lines.append), f"http://127.0.0.1:{PORT}")

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("a bug\nof ours")

    with monkeypatch.context() as patch:
        patch.setattr("transfer_cli.kinds.pictures.fitted", broken)
        reply = client.post("/predict", content=picture, headers=PNG)
    assert reply.status_code == 500
    assert reply.json()["error"].startswith("internal error (ZeroDivisionError)")
    assert lines == ["internal error: ZeroDivisionError: a bug of ours"]
    assert client.post("/predict", content=picture, headers=PNG).status_code == 200


def test_requests_write_no_files(pictures: TestClient, place: Place, picture: bytes) -> None:
    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in place.root.rglob("*")}

    before = files()
    for body in (picture, b"no picture"):
        for path in ("/predict", "/explain"):
            pictures.post(path, content=body, headers={**PNG, "content-disposition": 'filename="../../x.png"'})
    assert files() == before


def test_torch_computes_one_request_at_a_time(pictures: TestClient, picture: bytes) -> None:
    """Maps are read by hooks on one shared net: two requests at once would read the maps of each other."""
    wanted = pictures.post("/explain", content=picture, headers=PNG).json()
    got: list[Any] = []
    threads = [
        threading.Thread(target=lambda: got.append(pictures.post("/explain", content=picture, headers=PNG).json()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert got == [wanted] * 4


# over a socket
@pytest.fixture(scope="module")
def address(place: Place) -> Iterator[str]:
    with served(lambda port: app_of(place.root, place.names["pictures"], port)) as found:
        yield found


def wire(address: str, data: bytes) -> bytes:
    """The response of a server to these bytes, until it closes the connection."""
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=LONG) as line:
        line.sendall(data)
        found = b""
        while part := line.recv(65536):
            found += part
    return found


def test_malformed_http(address: str, picture: bytes) -> None:
    host = address.removeprefix("http://").encode()
    close, kind = b"Host: %s\r\nConnection: close\r\n" % host, b"Content-Type: image/png\r\n"
    for data, status in (
        (b"POST /predict HTTP/1.1\r\n" + close + kind + b"\r\n", 400),  # no length: no body
        (b"POST /predict HTTP/1.1\r\n" + close + kind + b"Content-Length: -5\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\n" + close + kind + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n", 400),
        (b"GET /about HTTP/1.1\r\nConnection: close\r\n\r\n", 400),  # no host
        (b"GET /about HTTP/1.0\r\n\r\n", 403),
        (b"GET /about HTTP/1.1\r\nHost: evil\r\n" + close + b"\r\n", 400),
        (b"GET http://evil.example/about HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 403),
        (b"GET /about HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # https
    ):
        reply = wire(address, data)
        assert reply.startswith(b"HTTP/1.1 %d " % status), (data[:80], reply[:200])
        assert b"Traceback" not in reply
    assert ask(address, "/predict", picture, content_type="image/png").status == 200


def test_the_server_listens_on_loopback_only(address: str) -> None:
    port = int(address.rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # free, so the server took 127.0.0.1 and not every address


def test_a_client_that_sends_too_much_gets_the_reason(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "MOST_BYTES", 1_000_000)
    reply = ask(address, "/predict", b"x" * 3_000_000, content_type="image/png")
    assert (reply.status, json.loads(reply.body)) == (413, {"error": "larger than 1 MB"})


def test_an_incomplete_request_times_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked, "SECONDS", 0.2)
    host = address.removeprefix("http://").encode()
    head = b"POST /predict HTTP/1.1\r\nHost: %s\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nabc" % host
    assert wire(address, head).startswith(b"HTTP/1.1 408 ")


# the command
def test_the_command_serves_until_ctrl_c(place: Place, picture: bytes, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "transfer_cli", "serve", place.names["pictures"], "--port", "0", "--json"]
    with subprocess.Popen(
        [*argv, "--runs", str(place.root / "runs")],
        stdout=subprocess.PIPE, stderr=(tmp_path / "err.txt").open("w"), text=True, env=environment(), cwd=tmp_path,
    ) as server:  # fmt: skip
        watchdog = threading.Timer(5 * LONG, server.kill)  # ends a server that hangs
        watchdog.start()
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line, (tmp_path / "err.txt").read_text()
            told = json.loads(line)
            assert (told["schema"], told["run"]) == ("serve/1", place.names["pictures"])
            reply = ask(told["address"], "/predict", picture, content_type="image/png")
            assert (reply.status, set(json.loads(reply.body)["probabilities"])) == (200, {"cat", "dog"})
            server.send_signal(signal.SIGINT)
            assert server.wait(LONG) == 0
        finally:
            watchdog.cancel()
            server.kill()
    assert "Traceback" not in (tmp_path / "err.txt").read_text()


def test_runs_that_cannot_be_served(transfer: Transfer, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    where = ("--runs", str(place.root / "runs"))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = transfer("serve", place.names["pictures"], "--port", str(port), *where)
    assert (told.code, told.out) == (2, "")
    assert told.errors == [
        f"error: --port={port}: cannot be used: address already in use", "  do: --port 0 takes a free one",
    ]  # fmt: skip
    for port_ in ("-1", "65536", "x", "8000.0"):
        told = transfer("serve", f"--port={port_}", *where)
        assert (told.code, told.errors) == (2, [f"error: --port={port_}: whole number from 0 to 65535"])
    assert transfer("serve", "a", "b", *where).code == 2
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    told = transfer("serve", place.names["pictures"], *where)
    assert (told.code, told.errors) == (2, ["error: serve: needs an extra: pip install 'transfer-cli[serve]'"])


ASKED = (("predict", "x.txt"), ("explain", "good"), ("serve", "--port=0"))


def test_a_language_model_has_no_classes(transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("".join(f"the {i % 7} of {i % 5} is {i % 3}.\n" for i in range(600)))
    (tmp_path / "x.txt").write_text("good\n")
    words = ["model=gpt_tiny", "model.layers=1", "model.width=16", "model.input={tokenizer: byte, length: 32}"]
    name = a_run(tmp_path, f"data={tmp_path / 'book.txt'}", *words)
    for command, last in ASKED:
        told = transfer(command, name, last)
        assert (told.code, told.out) == (2, "")
        text = f"its net learned the task language, which has no {command}; it can only be evaluated"
        assert told.errors[0] == f"error: run {name}: {text}"


def test_a_missing_net(transfer: Transfer, tmp_path: Path) -> None:
    name = a_run_of_pictures(tmp_path)
    (tmp_path / "x.txt").write_text("good\n")
    for folder in {file.parent for file in (tmp_path / "runs" / ".store").glob("*/model-*")}:
        shutil.rmtree(folder)
    for command, last in ASKED:
        told = transfer(command, name, last)
        assert (told.code, told.out) == (5, "")
        assert told.errors[0] == f"error: run {name}: its net is gone from the store"
        assert told.errors[1].startswith("  do: transfer run trainer=tiny strategy=scratch data=")
