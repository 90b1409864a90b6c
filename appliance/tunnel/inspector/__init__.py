"""The inspector: what went through a stream, kept for a while for somebody to look at. One code for both ends.

    record.py     one exchange: a request, its answer, the messages after an upgrade (plain data)
    store.py      the ring of records, which names are inspected until when, listeners, replay
    edits.py      a recorded request as bytes again, maybe changed
    dialogue.py   bytes of both directions -> a record; sans-IO
    websocket.py  frames after a 101 -> messages, with permessage-deflate; sans-IO
    watch.py      the edge's ear: one exchange over one stream after another
    overhear.py   the carrier's ear: one exchange after another over one stream

Bytes are copied to it on their way and never wait for it. What it does not understand makes a record that says so.
"""
