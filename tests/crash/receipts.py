"""receipts.py - a producer's ledger, read as docs/receipts.md describes it and not as our own code does."""
import struct

HEADER_BYTES, ENTRY_BYTES, RUN_BYTES = 64, 56, 8
FATE_STORED = 0


def entries(path):
    """(lane, first, last, time_ms, fates) of each whole entry, in order; a torn tail is left out."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != b"PNSTRCPT":
        raise AssertionError("no receipts: " + path)
    at = HEADER_BYTES
    while at + ENTRY_BYTES <= len(data):
        length, _, lane, runs, _, _, first, last, _, time_ms = struct.unpack_from("<IIIHHQQQQq", data, at)
        if length != ENTRY_BYTES + RUN_BYTES * runs or at + length > len(data):
            return
        fates = [struct.unpack_from("<BxxxI", data, at + ENTRY_BYTES + RUN_BYTES * i) for i in range(runs)]
        yield lane, first, last, time_ms, fates
        at += length


def stored_up_to(path):
    """{lane: highest sequence acknowledged}. Nothing was dropped or refused, or it is an error."""
    out = {}
    for lane, _, last, _, fates in entries(path):
        if any(fate != FATE_STORED for fate, _ in fates):
            raise AssertionError("lane %d up to %d: not all is stored: %s" % (lane, last, fates))
        out[lane] = max(out.get(lane, 0), last)
    return out
