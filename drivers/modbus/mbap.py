"""Is a received Modbus TCP frame an answer to what was sent? Pure."""

_HEADER = 7  # transaction, protocol, length, unit (Modbus Messaging on TCP/IP 1.0b, 3.1.3)
_LONGEST = 254  # unit and PDU of at most 253 bytes (Application Protocol 1.1b3, 4.1)
_BIT_READS, _REGISTER_READS, _WRITES = {1, 2}, {3, 4}, {5, 6, 15, 16}


def fault(sent: bytes, data: bytes) -> str | None:
    """Class of the fault in `data` as an answer to the frame `sent`; None: none seen so far.

    `protocol`, `length`, `transaction` (a late answer), `unit`, `function` or `surplus`. Whether
    function and count fit the request is seen in the decoded answer, whatever the transport.
    """
    if len(data) <= _HEADER:
        return None
    length = int.from_bytes(data[4:6], "big")
    if data[2:4] != b"\0\0":
        return "protocol"
    if not 3 <= length <= _LONGEST:
        return "length"
    return _frame_fault(sent, data, 6 + length) if len(data) >= 6 + length else None


def _frame_fault(sent: bytes, data: bytes, whole: int) -> str | None:
    if data[0:2] not in {sent[0:2], b"\0\0"}:  # some devices always answer with transaction 0
        return "transaction"
    if data[6] != sent[6] and sent[6] != 0:
        return "unit"
    return _pdu_fault(data[_HEADER:whole]) or ("surplus" if len(data) > whole else None)


def _pdu_fault(pdu: bytes) -> str | None:
    function = pdu[0]
    if function & 0x80:
        return None if len(pdu) == 2 else "length"
    if function in _WRITES:
        return None if len(pdu) == 5 else "length"
    if function in _BIT_READS | _REGISTER_READS:
        odd = function in _REGISTER_READS and pdu[1] % 2
        return "length" if odd or len(pdu) != 2 + pdu[1] else None
    return "function"
