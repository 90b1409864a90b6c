"""The carrier's ear: on a stream that carries exchange after exchange, each becomes a record."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from appliance.tunnel.inspector.dialogue import Dialogue
from appliance.tunnel.inspector.record import BROKEN, DONE, LEFT, Record
from appliance.tunnel.inspector.store import Inspector
from appliance.tunnel.inspector.watch import EARLY, ENOUGH, MORE
from appliance.wire.messages import Finish, Open, Refuse

GIVEN_UP = "the visitor left, or the server gave the request up"
LOST = "the tunnel to the server was lost before the answer had ended"
CUT_OFF = "the upstream cut the connection off"
ENDED = "the upstream ended before its answer did"


class Overhear:
    """Listens to a carrier's stream for as long as that lives. Connections of TCP mode are none of its affairs.

    `part` is told of an exchange whose stream was closed before it was over, and says later by `parted` why that was.
    """

    __slots__ = (
        "_client_id",
        "_deaf",
        "_dialogue",
        "_finished",
        "_inspector",
        "_open",
        "_opened_at",
        "_part",
        "_refused",
    )

    def __init__(self, inspector: Inspector, client_id: str, part: Callable[[Record], None]) -> None:
        self._inspector = inspector
        self._client_id = client_id
        self._part = part
        self._dialogue: Dialogue | None = None  # the last one
        self._open: Open | None = None
        self._opened_at: float | None = None  # for the first request; after it, the upstream is connected
        self._refused = ""
        self._finished = False  # the upstream's direction has ended
        self._deaf = True  # what is carried is no HTTP, or was not understood

    # What the stream tells

    def came(self, got: Any) -> None:
        if type(got) is list:
            if not self._deaf:
                self._asks(got)
        elif isinstance(got, Open):
            self.lost()
            self._open = got
            self._opened_at = time.monotonic()
            self._refused = ""
            self._finished = False
            self._deaf = got.confirm
        elif got is None:
            self.lost()

    def went(self, pieces: Any) -> None:
        dialogue = self._dialogue
        if self._deaf or dialogue is None:
            return
        dialogue.answers(pieces)
        if dialogue.trouble:
            self._give_up(dialogue)
        elif dialogue.answered and not dialogue.upgraded:
            self._answered(dialogue)

    def said(self, message: Any) -> None:
        dialogue = self._dialogue
        if isinstance(message, Refuse):
            self._refused = message.reason  # the request comes next
        elif isinstance(message, Finish) and dialogue is not None and not self._deaf:
            self._finished = not message.reset
            if message.reset:
                self._inspector.end(dialogue.record, BROKEN, CUT_OFF)
                return
            dialogue.answer_ended()
            if not dialogue.answered:
                self._inspector.end(dialogue.record, BROKEN, ENDED)
            elif not dialogue.upgraded:
                self._answered(dialogue)

    def lost(self) -> None:
        """The stream is closed, or begins anew."""
        dialogue, self._dialogue = self._dialogue, None
        self._deaf = True
        if dialogue is None:
            return
        dialogue.end_messages()
        if dialogue.upgraded and (dialogue.closing or self._finished):
            self._inspector.end(dialogue.record, DONE)
        elif dialogue.record.ended_at is None:
            self._part(dialogue.record)

    def echoed(self, payload: bytes) -> None:
        """Nothing is asked from here."""

    # What becomes of it

    def _asks(self, pieces: list[Any]) -> None:
        dialogue = self._dialogue
        if dialogue is None or (dialogue.asked and dialogue.answered and not dialogue.upgraded):
            dialogue = self._dialogue = self._begin()
        dialogue.asks(pieces)
        if dialogue.excess and not dialogue.trouble and not dialogue.answered:
            dialogue.trouble = "more came behind the request before it was answered"
        if dialogue.trouble:
            self._give_up(dialogue)
        elif self._refused:
            why = f"the upstream was not reached ({self._refused})"
            self._inspector.end(dialogue.record, BROKEN, why)

    def _begin(self) -> Dialogue:
        record = self._inspector.begin("")
        record.client_id = self._client_id
        if self._open is not None:
            record.target = self._open.upstream
            record.visitor = self._open.visitor.rpartition(":")[0].strip("[]")
        if self._opened_at is not None:
            record.began_at = min(record.began_at, self._opened_at)  # to reach the upstream is what it waited for
            self._opened_at = None
        return Dialogue(self._inspector, record)

    def _answered(self, dialogue: Dialogue) -> None:
        why = MORE if dialogue.excess else "" if dialogue.asked else EARLY
        self._inspector.end(dialogue.record, DONE, why)

    def _give_up(self, dialogue: Dialogue) -> None:
        """Where the next exchange begins is unknown from here on."""
        self._deaf = True
        self._inspector.end(dialogue.record, BROKEN, f"not understood: {dialogue.trouble}")


def parted(inspector: Inspector, record: Record, by_server: bool, moment: float) -> None:
    """The stream was closed at `moment`; `by_server`: by the server's will, for the tunnel stands."""
    if not by_server:
        inspector.end(record, BROKEN, LOST, moment)
    elif record.is_of_events:
        inspector.end(record, DONE, ENOUGH, moment)
    else:
        inspector.end(record, LEFT, GIVEN_UP, moment)
