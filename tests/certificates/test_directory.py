"""Which files of a directory belong together, in the layouts of the programs that people use."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.certificates.directory import Files, search

CERTIFICATE = b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----\n"


def lay(root: Path, *paths: str) -> None:
    for text in paths:
        path = root / text
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(KEY if "key" in path.name else KEY + CERTIFICATE if "both" in path.name else CERTIFICATE)


def found(root: Path) -> list[tuple[str, str]]:
    return [(str(one.certificate.relative_to(root)), str(one.key.relative_to(root))) for one in search(root)]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["b.crt", "b.key", "a.crt", "a.key"], [("a.crt", "a.key"), ("b.crt", "b.key")]),
        (["a.cer", "a.key", "b.pem", "b.key"], [("a.cer", "a.key"), ("b.pem", "b.key")]),
        (["tls.crt", "tls.key", "ca.crt"], [("tls.crt", "tls.key")]),  # Kubernetes
        (["a.crt", "a.issuer.crt", "a.key", "a.json"], [("a.crt", "a.key")]),  # lego
        (["a.pem", "a-key.pem"], [("a.pem", "a-key.pem")]),  # mkcert
        (["both.pem", "only.pem", "only.crt", "some-key.pem", "some.key"], [("both.pem", "both.pem")]),
        (
            [f"live/{name}/{file}.pem" for name in ("b.example", "a.example")
             for file in ("cert", "chain", "fullchain", "privkey")] + ["live/README", "archive/x/fullchain1.pem"],
            [(f"live/{name}/fullchain.pem", f"live/{name}/privkey.pem") for name in ("a.example", "b.example")],
        ),  # certbot
        (["a.example/fullchain.pem", "a.example/privkey.pem"], [("a.example/fullchain.pem", "a.example/privkey.pem")]),
        (["a/a.crt", "a/a.key", "z.crt", "z.key"], [("z.crt", "z.key"), ("a/a.crt", "a/a.key")]),
        ([".hidden/both.pem", ".both.pem", "deep/er/both.pem", "live/x/both.pem"], [("live/x/both.pem",) * 2]),
        ([], []),
    ],
)  # fmt: skip
def test_layouts(tmp_path: Path, paths: list[str], expected: list[tuple[str, str]]) -> None:
    lay(tmp_path, *paths)
    assert found(tmp_path) == expected


def test_a_directory_that_is_none(tmp_path: Path) -> None:
    lay(tmp_path, "file")
    for path in ("missing", "file"):
        with pytest.raises(OSError):
            search(tmp_path / path)


def test_links_are_followed_and_may_lead_nowhere(tmp_path: Path) -> None:
    lay(tmp_path, "real/a.crt", "real/a.key")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dead.crt").symlink_to("nowhere")
    (tmp_path / "both.pem").symlink_to("nowhere")
    assert found(tmp_path) == [("link/a.crt", "link/a.key"), ("real/a.crt", "real/a.key")]


def test_the_state_changes_with_either_file(tmp_path: Path) -> None:
    lay(tmp_path, "a.crt", "a.key", "b.crt")
    files = Files(tmp_path / "a.crt", tmp_path / "a.key")
    seen = {files.state}
    for path in files:
        path.write_bytes(path.read_bytes() + b"\n")
        seen.add(files.state)
    (tmp_path / "b.crt").replace(files.certificate)
    seen.add(files.state)
    assert len(seen) == 4
    files.key.unlink()
    with pytest.raises(OSError):
        assert files.state
