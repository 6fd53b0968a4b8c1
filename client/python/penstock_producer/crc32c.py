"""CRC-32C (Castagnoli, RFC 3720 appendix B.4) by folding Python's big integers.

Every datagram carries one, and a table driven loop costs an interpreter's step for each byte or two. A
CRC is the remainder of a polynomial over GF(2), so the front of a message may be replaced by anything
congruent: its first bits times x^k are worth its first bits times (x^k mod P), k bits further back.
That product is a few shifts and XORs of an integer as long as the piece, in C. For each fold halves
the message, the distances k below are spaced by less than two; within that each is the one whose
x^k mod P has the fewest terms. The last bytes go through a table.

A test holds it against the plain definition, bit by bit.
"""

_POLYNOMIAL = 0x82F63B78  # bit-reversed 0x1EDC6F41: bit 31 is x^0 here, and bit 0 is x^31
_FOLD_BITS = (90, 144, 256, 466, 889, 1706, 3196, 6307, 12352, 22864, 45117)
_BLOCK_BYTES = 16384  # longer input goes block by block: a fold takes time in proportion to all of it
_TABLE_ONLY_BYTES = 24  # where folding begins to pay


def _byte_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


def _folds() -> list[tuple[int, tuple[int, ...]]]:
    """For each distance k, longest first: k, and where the terms of x^k mod P stand, as shifts."""
    folds = []
    power, exponent = 1 << 31, 0
    for k in _FOLD_BITS:
        for _ in range(k - exponent):
            power = (power >> 1) ^ (_POLYNOMIAL if power & 1 else 0)
        exponent = k
        folds.append((k, tuple(bit for bit in range(32) if power >> bit & 1)))
    folds.reverse()
    return folds


_TABLE = _byte_table()
_FOLDS = _folds()


def _by_table(register: int, data: bytes | memoryview) -> int:
    for byte in data:
        register = _TABLE[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register


def _by_folding(register: int, data: bytes | memoryview) -> int:
    """The message is an integer whose lowest bit is the polynomial's highest term."""
    bits = len(data) * 8
    message = int.from_bytes(data, "little") ^ register
    for k, shifts in _FOLDS:
        while bits > k + 32:
            cut = min(k - 31, bits - k)
            front = message & ((1 << cut) - 1)
            message >>= cut
            bits -= cut
            place = k - cut - 31
            for shift in shifts:
                message ^= front << (place + shift)
    padding = -bits % 8  # zeros in front of a message change nothing
    return _by_table(0, (message << padding).to_bytes((bits + padding) // 8, "little"))


def crc32c(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """The CRC of `data`, or with `crc` that of what went before and `data` behind it."""
    register = crc ^ 0xFFFFFFFF
    if len(data) < _TABLE_ONLY_BYTES:
        return _by_table(register, data) ^ 0xFFFFFFFF
    for at in range(0, len(data), _BLOCK_BYTES):
        block = data[at : at + _BLOCK_BYTES]
        register = (_by_folding if len(block) >= 4 else _by_table)(register, block)
    return register ^ 0xFFFFFFFF
