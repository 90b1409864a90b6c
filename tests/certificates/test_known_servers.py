"""The list of known servers: what is read from it, whatever stands there, and who may write to it at once."""

import errno
import fcntl
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.certificates import known_servers
from appliance.certificates.known_servers import FILE, PUBLIC, Damaged, Known, KnownServers, Unusable, spoken

MARK, OTHER = "ab" * 32, "cd" * 32
SERVER = "203.0.113.7:8123"
DATE = "2026-01-31T12:23:17Z"
LINE = f"{SERVER} sha256:{MARK} {DATE}"


@pytest.fixture
def known(tmp_path: Path) -> KnownServers:
    return KnownServers(tmp_path / "state" / FILE)


def written(known: KnownServers, content: str | bytes, mode: int = 0o600) -> KnownServers:
    assert known.path is not None
    Path(known.path).parent.mkdir(exist_ok=True)
    Path(known.path).write_bytes(content.encode() if isinstance(content, str) else content)
    Path(known.path).chmod(mode)
    return known


def content(known: KnownServers) -> list[str]:
    assert known.path is not None
    return Path(known.path).read_text("latin-1").splitlines()


def test_at_first_nothing(known: KnownServers) -> None:
    assert known.find(SERVER) is None
    assert known.listing() == ([], [])
    assert not known.drop(SERVER)
    assert known.path is not None and not Path(known.path).exists()


def test_what_is_kept(known: KnownServers) -> None:
    kept = known.remember(SERVER, MARK, None)
    assert (kept.server, kept.mark) == (SERVER, MARK)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", kept.since)
    known.remember("[2001:db8::1]:8123", PUBLIC, None)
    assert known.find(SERVER) == kept
    assert [one.server for one in known.listing()[0]] == [SERVER, "[2001:db8::1]:8123"]
    assert all(line.startswith("# ") for line in content(known)[:2])
    assert content(known)[2] == f"{SERVER} sha256:{MARK} {kept.since}"
    assert content(known)[3].startswith("[2001:db8::1]:8123 public 2")
    assert known.path is not None
    assert stat.S_IMODE(Path(known.path).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(known.path).parent.stat().st_mode) == 0o700
    assert os.listdir(Path(known.path).parent) == [FILE]


def test_only_what_was_seen_before_is_replaced(known: KnownServers) -> None:
    first = known.remember(SERVER, MARK, None)
    assert known.remember(SERVER, OTHER, None) == first
    assert known.remember(SERVER, MARK, None).mark == MARK
    assert known.remember(SERVER, OTHER, MARK).mark == OTHER
    found = known.find(SERVER)
    assert found is not None and found.mark == OTHER
    assert known.put(SERVER, PUBLIC).mark == PUBLIC
    assert len(content(known)) == 3


def test_forgotten(known: KnownServers) -> None:
    known.put(SERVER, MARK)
    known.put("other.example:8123", MARK)
    assert known.drop(SERVER) and not known.drop(SERVER)
    assert known.find(SERVER) is None and known.find("other.example:8123") is not None


def test_written_by_hand(known: KnownServers) -> None:
    """Spaces, capitals, comments and empty lines are no mistakes, and stay."""
    text = f"\n  # mine\n\t{SERVER}   SHA256:{MARK.upper()}\t{DATE} \nTunnel.Example:1 Public {DATE}"
    written(known, text)
    assert known.find(SERVER) == Known(SERVER, MARK, DATE)
    assert known.find("tunnel.example:1") == Known("tunnel.example:1", PUBLIC, DATE)
    known.put(SERVER, OTHER)
    assert "  # mine" in content(known) and len(known.listing()[0]) == 2


DAMAGED = {
    "cut off": f"{SERVER} sha256:{MARK[:20]}",
    "cut off in the name": "203.0.1",
    "without a date": f"{SERVER} sha256:{MARK}",
    "a bad date": f"{SERVER} sha256:{MARK} yesterday",
    "another digest": f"{SERVER} md5:{MARK} {DATE}",
    "too many digits": f"{SERVER} sha256:{MARK}00 {DATE}",
    "a word too many": f"{LINE} x",
    "two on a line": f"{LINE} {LINE}",
    "zeros": b"\0" * 4096,
    "not text": b"\xff\xfe\x00",
    "carriage returns": f"x\r{LINE}\r",
    "line separators": f"{LINE}\u2028{LINE}",
    "a merge": f"<<<<<<<\n{LINE}x\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage(known: KnownServers, name: str) -> None:
    """Where a server may have stood there, nobody is told that it is a new one."""
    written(known, DAMAGED[name])
    with pytest.raises(Damaged, match=rf"^line 1 of .*{FILE} is not understood: correct or delete it$"):
        known.find(SERVER)
    with pytest.raises(Damaged):
        known.remember(SERVER, MARK, None)
    assert known.listing()[1][0] == 1


def test_damage_of_others(known: KnownServers) -> None:
    """It does not matter to a server with a good line, and is not lost."""
    bad = b"other.example:1 sha256:\xff\x85\x0c"
    written(known, LINE.encode() + b"\n" + bad + b"\n")
    assert known.find(SERVER) == Known(SERVER, MARK, DATE)
    assert known.remember(SERVER, OTHER, MARK).mark == OTHER
    assert known.path is not None and bad + b"\n" in Path(known.path).read_bytes()
    with pytest.raises(Damaged, match="^line 1 of"):
        known.find("new.example:1")


def test_damage_of_its_own_line_ends_with_its_next(known: KnownServers) -> None:
    written(known, f"{LINE}\n{SERVER} sha256:x {DATE}")
    with pytest.raises(Damaged, match="^line 2 of"):
        known.find(SERVER)
    known.put(SERVER, OTHER)
    found = known.find(SERVER)
    assert found is not None and found.mark == OTHER
    assert len(content(known)) == 1


def test_two_answers_are_none(known: KnownServers) -> None:
    written(known, f"{LINE}\n{LINE}")
    assert known.find(SERVER) is not None
    written(known, f"{LINE}\n{SERVER} sha256:{OTHER} {DATE}")
    with pytest.raises(Damaged, match=rf"several lines for {SERVER}: delete all but"):
        known.find(SERVER)


def test_what_is_no_file(known: KnownServers, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known.path is not None
    Path(known.path).mkdir(parents=True)
    with pytest.raises(Damaged, match="is not a file"):
        known.find(SERVER)
    Path(known.path).rmdir()
    os.mkfifo(known.path, 0o600)
    with pytest.raises(Damaged, match="is not a file"):  # nor is it waited for
        known.find(SERVER)
    Path(known.path).unlink()
    Path(known.path).symlink_to("/etc/passwd")
    with pytest.raises(Damaged, match="is a link: put the file itself there"):
        known.find(SERVER)
    with pytest.raises(Damaged, match="is a link"):
        known.put(SERVER, MARK)
    Path(known.path).unlink()
    monkeypatch.setattr(known_servers, "_MAX_FILE_BYTES", 100)
    with pytest.raises(Damaged, match="far too long"):
        written(known, LINE + "\n").find(SERVER)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write(known: KnownServers, mode: int) -> None:
    with pytest.raises(Damaged, match="others may write to .*chmod 0600 it"):
        written(known, LINE, mode).find(SERVER)
    assert written(known, LINE, 0o644).find(SERVER) is not None


def test_a_directory_that_others_may_write(known: KnownServers) -> None:
    written(known, LINE)
    assert known.path is not None
    Path(known.path).parent.chmod(0o777)
    for attempt in (
        lambda: known.find(SERVER),
        lambda: known.put(SERVER, MARK),
        lambda: known.drop(SERVER),
        known.listing,
    ):
        with pytest.raises(Unusable, match="others may write to .*chmod 0700"):
            attempt()


def test_nowhere_to_keep_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    nowhere = KnownServers.of({})
    for attempt in (lambda: nowhere.find(SERVER), lambda: nowhere.put(SERVER, MARK)):
        with pytest.raises(Unusable, match="no place is known"):
            attempt()
    assert KnownServers.of({"STATE_DIRECTORY": "/s"}).path == f"/s/{FILE}"
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    for below in (tmp_path / "file" / FILE, tmp_path / "file" / "deeper" / FILE):
        with pytest.raises(Unusable, match=r"is not a directory|Not a directory"):
            KnownServers(below).find(SERVER)
    assert KnownServers(tmp_path / "a" / "b" / FILE).put(SERVER, MARK)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(30, "Read-only file system")])
def test_read_only(known: KnownServers, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """What stands there is read, nothing is added."""
    written(known, LINE)

    def replace(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(known_servers.state, "replace", replace)
    assert known.find(SERVER) is not None
    with pytest.raises(Unusable, match=rf"{FILE}: {error.strerror}"):
        known.put("other:1", MARK)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_read(known: KnownServers, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The server may stand in it."""
    written(known, LINE)

    def fail(*args: object) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(Damaged, match=rf"cannot be read \({os.strerror(number)}\): give it to this user, or delete it"):
        known.find(SERVER)


def test_who_holds_the_lock_for_long(known: KnownServers, monkeypatch: pytest.MonkeyPatch) -> None:
    written(known, LINE)
    monkeypatch.setattr(known_servers, "LOCK_SECONDS", 0.05)
    assert known.path is not None
    descriptor = os.open(Path(known.path).parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert known.find(SERVER) is not None
        with pytest.raises(Unusable, match="another process holds a lock"):
            known.put(SERVER, OTHER)
    finally:
        os.close(descriptor)
    assert known.put(SERVER, OTHER)


def test_servers_of_this_machine_do_not_pile_up(known: KnownServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_servers, "MOST_LOOPBACK", 3)
    known.put(SERVER, MARK)
    for port in range(1, 4):
        for host in ("127.0.0.1", "localhost", "[::1]"):
            known.put(f"{host}:{port}", MARK)
    names = [one.server for one in known.listing()[0]]
    assert names == [SERVER, "127.0.0.1:3", "localhost:3", "[::1]:3"]


WRITER = """
import sys
from pathlib import Path
from appliance.certificates.known_servers import KnownServers
known = KnownServers(Path(sys.argv[1]))
sys.stdin.readline()
for number in range(20):
    known.remember(f"{sys.argv[2]}.example:{number + 1}", "ab" * 32, None)
    print(known.remember("one.example:1", sys.argv[2] * 32, None).mark)
"""


def test_writers_at_once(known: KnownServers) -> None:
    """Nothing is lost, and the first one wins."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(known.path), name],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("aa", "bb", "cc", "dd")
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    seen = {line for writer in writers for line in writer.communicate(timeout=60)[0].split()}
    assert [writer.returncode for writer in writers] == [0] * 4
    listed, damaged = known.listing()
    assert (len(listed), damaged) == (81, [])
    winner = known.find("one.example:1")
    assert winner is not None and seen == {winner.mark}


@given(st.binary(max_size=200) | st.text(alphabet=f"{LINE}\n# public", max_size=200).map(str.encode))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Whatever stands there: a server is found by a whole line of its own, or the file is damaged, or has nothing."""
    known = written(KnownServers(tmp_path_factory.getbasetemp() / "any" / FILE), data)
    try:
        found = known.find(SERVER)
    except Damaged:
        known.put(SERVER, OTHER)
        found = known.find(SERVER)
        assert found is not None and found.mark == OTHER
    else:
        assert found is None or spoken(found.mark).encode() in data.lower()


def test_spoken() -> None:
    assert (spoken(MARK), spoken(PUBLIC)) == (f"sha256:{MARK}", "public")
