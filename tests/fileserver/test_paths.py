"""What may be opened: targets as text, and real trees full of traps."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.fileserver import paths
from appliance.fileserver.paths import NotServed, open_beneath, open_listable, split_target


@pytest.mark.parametrize(
    ("target", "names", "is_directory", "query"),
    [
        (b"/", [], True, b""),
        (b"/a.txt", [b"a.txt"], False, b""),
        (b"/a/b/", [b"a", b"b"], True, b""),
        (b"/a?b=/c", [b"a"], False, b"b=/c"),
        (b"/?a?b", [], True, b"a?b"),
        (b"//a///b", [b"a", b"b"], False, b""),
        (b"/read%20me%2emd", [b"read me.md"], False, b""),
        (b"/%C3%A9", [b"\xc3\xa9"], False, b""),
        (b"/\xc3\xa9", [b"\xc3\xa9"], False, b""),
        (b"/%2561", [b"%61"], False, b""),  # escapes are undone once
        (b"/a..b", [b"a..b"], False, b""),
        (b"/.well-known/acme", [b".well-known", b"acme"], False, b""),
    ],
)
def test_targets_that_name_something(target: bytes, names: list[bytes], is_directory: bool, query: bytes) -> None:
    assert split_target(target) == (names, is_directory, query)


@pytest.mark.parametrize(
    "target",
    [
        b"/..",
        b"/../etc/passwd",
        b"/a/../b",
        b"/a/..",
        b"/./a",
        b"/%2e%2e/a",
        b"/%2E./a",
        b"/..%2fa",
        b"/a%2fb",
        b"/a%2F..%2Fb",
        b"/a%5cb",
        b"/a\\b",
        b"/..\\..\\a",
        b"/a%00",
        b"/a%00.txt",
        b"/%",
        b"/%2",
        b"/%zz",
        b"/a%u002f",
        b"/.env",
        b"/%2egit/config",
        b"/a/.well-known/b",
        b"/.well-known/.x",
        b"/a" * (paths.MAX_SEGMENTS + 1),
    ],
)
def test_targets_that_name_nothing(target: bytes) -> None:
    with pytest.raises(NotServed):
        split_target(target)


def content(root: Path, name: str) -> bytes:
    descriptor, info = open_beneath(str(root), os.fsencode(name).split(b"/"))
    try:
        return os.pread(descriptor, info.st_size, 0)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("to-file", "hello.txt"),
        ("docs/up", "../hello.txt"),
        ("docs/round", "../docs/../page/../hello.txt"),
        ("dotted", "./././hello.txt"),
        ("doubled", "docs//..//hello.txt"),
    ],
)
def test_links_inside_the_root_are_followed(site: Path, link: str, target: str) -> None:
    (site / link).symlink_to(target)
    assert content(site, link) == (site / "hello.txt").read_bytes()


def test_links_through_links_and_absolute_links(site: Path) -> None:
    (site / "current").symlink_to("docs")
    (site / "chain").symlink_to("current/read me.md")
    (site / "absolute").symlink_to(site.resolve() / "current")
    assert content(site, "chain") == b"# read"
    assert content(site, "absolute/read me.md") == b"# read"


def test_the_root_itself_may_be_a_link(site: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(site)
    (site / "absolute").symlink_to(site.resolve() / "hello.txt")
    assert content(tmp_path / "alias", "absolute") == (site / "hello.txt").read_bytes()


@pytest.mark.parametrize(
    "target",
    [
        "../secret.txt",
        "..",
        "/",
        "/etc/passwd",
        "docs/../../secret.txt",
        "../site/hello.txt",  # comes back in, but only by way of outside
        "page/../../site/../secret.txt",
        "trap",  # itself
        "absent",
        ".env",
        ".git/config",
        "docs\\..",
        "/proc/self/root/etc/passwd",
    ],
)
def test_links_that_lead_outside_or_nowhere(site: Path, target: str) -> None:
    (site / "trap").symlink_to(target)
    for name in ("trap", "trap/secret.txt", "trap/etc/passwd"):
        with pytest.raises(NotServed):
            content(site, name)


def test_an_absolute_link_to_a_sibling_with_the_same_beginning(site: Path, tmp_path: Path) -> None:
    (tmp_path / "site-private").mkdir()
    (tmp_path / "site-private" / "key").write_bytes(b"outside")
    (site / "trap").symlink_to(tmp_path / "site-private" / "key")
    with pytest.raises(NotServed):
        content(site, "trap")


def test_long_chains_of_links_end(site: Path) -> None:
    (site / "link0").symlink_to("hello.txt")
    for number in range(1, paths.MAX_LINKS + 1):
        (site / f"link{number}").symlink_to(f"link{number - 1}")
    assert content(site, f"link{paths.MAX_LINKS - 1}")
    with pytest.raises(NotServed):
        content(site, f"link{paths.MAX_LINKS}")
    (site / "here").symlink_to(".")
    with pytest.raises(NotServed):
        content(site, "/".join(["here"] * 60 + ["hello.txt"]))


def test_what_is_no_file_is_never_opened(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(site / "pipe")
    (site / "device").symlink_to("/dev/zero")
    (site / "to-pipe").symlink_to("pipe")
    opened = []
    real_open = os.open
    monkeypatch.setattr(os, "open", lambda *args, **more: opened.append(args[0]) or real_open(*args, **more))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(site / "socket"))
        for name in ("pipe", "socket", "device", "to-pipe"):
            with pytest.raises(NotServed):
                content(site, name)
    assert set(opened) == {str(site)}


def test_a_pipe_that_takes_a_files_place_does_not_block(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_stat = os.stat

    def stat_then_swap(name: bytes, **more: object) -> os.stat_result:
        info = real_stat(name, **more)
        if name == b"hello.txt":
            (site / "hello.txt").unlink()
            os.mkfifo(site / "hello.txt")
        return info

    monkeypatch.setattr(os, "stat", stat_then_swap)
    with pytest.raises(NotServed):
        content(site, "hello.txt")


@pytest.mark.parametrize(("name", "swapped"), [("hello.txt", "hello.txt"), ("docs/secret.txt", "docs")])
def test_a_link_that_takes_a_names_place_is_not_followed(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, swapped: str
) -> None:
    real_stat = os.stat

    def stat_then_swap(looked_at: bytes, **more: object) -> os.stat_result:
        info = real_stat(looked_at, **more)
        if looked_at == swapped.encode():
            (site / swapped).rename(tmp_path / "moved")
            (site / swapped).symlink_to(tmp_path / "secret.txt" if swapped == name else tmp_path)
        return info

    monkeypatch.setattr(os, "stat", stat_then_swap)
    with pytest.raises(NotServed):
        content(site, name)


def test_names_the_system_does_not_take(site: Path) -> None:
    for name in ("x" * 300, "hello.txt/x", "absent/x", "docs/x/y"):
        with pytest.raises(NotServed):
            content(site, name)


def test_what_may_not_be_read_is_absent_to_visitors_and_said_to_the_operator(
    site: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_open = os.open

    def refusing(path: object, flags: int, *more: object, **named: object) -> int:
        if path in (b"hello.txt", "."):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real_open(path, flags, *more, **named)

    root = os.open(site, os.O_RDONLY)
    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(NotServed):
        content(site, "hello.txt")
    assert "'hello.txt' is not served: Permission denied" in caplog.text
    with pytest.raises(NotServed):
        open_listable(root)
    os.close(root)


def test_links_cannot_lead_deeper_than_a_target_could(site: Path) -> None:
    half = "/".join(["d"] * (paths.MAX_SEGMENTS // 2))
    (site / half / half).mkdir(parents=True)
    (site / half / half / "end").mkdir()
    (site / "deep").symlink_to(half)
    os.close(open_beneath(str(site), [b"deep", *half.encode().split(b"/")])[0])
    with pytest.raises(NotServed):
        open_beneath(str(site), [b"deep", *half.encode().split(b"/"), b"end"])


def test_a_root_that_is_gone_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_beneath(str(tmp_path / "gone"), [b"hello.txt"])


def test_no_descriptors_left_is_not_taken_for_absence(site: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(number) for number in os.listdir("/proc/self/fd"))
    fillers: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
    try:
        with pytest.raises(OSError) as full:
            while True:
                fillers.append(os.open("/dev/null", os.O_RDONLY))
        assert full.value.errno == errno.EMFILE
        os.close(fillers.pop())  # one for the root, none for the file
        with pytest.raises(OSError) as refused:
            open_beneath(str(site), [b"hello.txt"])
        assert refused.value.errno == errno.EMFILE
    finally:
        for descriptor in fillers:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


FRAGMENTS = [b"", b".", b"..", b"%2e%2e", b"%2E", b"..%2f", b"%2f", b"%5c..", b"\\", b"%00", b"%"]
NAMES = [b"a", b"b", b"file", b"out", b"up", b"absolute", b"loop", b"back", b"secret", b"made", b"etc"]


@pytest.fixture(scope="module")
def tree() -> Iterator[tuple[str, list[str]]]:
    """A root with links in all directions, and the places of all that is opened meanwhile."""
    top = os.path.realpath(tempfile.mkdtemp())
    root = os.path.join(top, "root")
    os.makedirs(root + "/a/b/a")
    for name in ("/file", "/a/file", "/a/b/file"):
        Path(root + name).write_bytes(b"inside")
    Path(top + "/secret").write_bytes(b"outside")
    links = {
        "/out": "..",
        "/a/up": "..",
        "/a/b/up": "../..",
        "/a/out": "../..",
        "/absolute": "/",
        "/a/absolute": root,
        "/loop": "loop",
        "/back": "../root",
        "/a/b/secret": "../../../secret",
    }
    for name, target in links.items():
        os.symlink(target, root + name)
    opened: list[str] = []
    real_open = os.open

    def recording(path: object, flags: int, *more: object, **named: object) -> int:
        descriptor = real_open(path, flags, *more, **named)
        if named.get("dir_fd") is not None:
            opened.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        return descriptor

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", recording)
        yield root, opened
    shutil.rmtree(top)


def all_inside(root: str, opened: list[str]) -> bool:
    return all(path == root or path.startswith(root + "/") for path in opened)


@settings(deadline=None, max_examples=400)
@given(st.lists(st.sampled_from(FRAGMENTS + NAMES), max_size=8))
def test_no_target_opens_anything_outside(tree: tuple[str, list[str]], fragments: list[bytes]) -> None:
    root, opened = tree
    opened.clear()
    try:
        names, _, _ = split_target(b"/" + b"/".join(fragments))
        os.close(open_beneath(root, names)[0])
    except NotServed:
        pass
    assert all_inside(root, opened)


@settings(deadline=None, max_examples=400)
@given(
    st.booleans(),
    st.lists(st.sampled_from([b"..", b".", b"", *NAMES]), max_size=7),
    st.lists(st.sampled_from(NAMES), max_size=3),
)
def test_no_link_opens_anything_outside(
    tree: tuple[str, list[str]], absolute: bool, target: list[bytes], rest: list[bytes]
) -> None:
    root, opened = tree
    opened.clear()
    link = os.path.join(os.fsencode(root), b"a", b"made")
    os.symlink((os.fsencode(root) + b"/" if absolute else b"") + b"/".join(target) or b".", link)
    try:
        os.close(open_beneath(root, [b"a", b"made", *rest])[0])
    except NotServed:
        pass
    finally:
        os.unlink(link)
    assert all_inside(root, opened)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_split_or_are_refused(target: bytes) -> None:
    try:
        names, _, _ = split_target(b"/" + target)
    except NotServed:
        return
    for name in names:
        assert name and not set(name) & set(b"/\\\0") and name not in (b".", b"..")
