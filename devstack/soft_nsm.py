"""A Nitro Secure Module in software, at the boundary of /dev/nsm: `exchange`, CBOR bytes in, CBOR bytes out.

It behaves as the real one does, with keys that nobody but a test trusts. Sources, in this order: documents that AWS
signed; AWS's own check of a module (aws-nitro-enclaves-nsm-api, `nsm-test/src/bin/nsm-check.rs`): 32 registers, 0..15
locked from the start, a locked one can be neither extended nor locked by LockPCR, LockPCRs goes up to 32;
QEMU's `hw/virtio/virtio-nsm.c` for the error codes.

Where it is stricter than the real one: fields beyond AWS docs/attestation_process.md 3.2.2.2 are InputTooLarge (real
modules sign longer ones: 746 bytes of user_data have been seen, 1024 are in AWS's check), and a request with a field
of the wrong type or an unknown field is InvalidArgument. What a real module answers to those is not known.
"""

import dataclasses
import datetime as dt
import errno
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from devstack.nsm_faults import Answers, Fails, Fault, Garbage, Hangs, Truncated, WrongEcho
from devstack.nsm_pki import Leaf, NsmPki
from devstack.nsm_registers import PCR_COUNT, Registers
from nsm import requests
from nsm.errors import DeviceFailed, ErrorCode, MalformedReply, Refused
from nsm.responses import one_item

RANDOM_BYTES = 256  # QEMU NSM_RND_BUF_SIZE
PROTECTED = bytes.fromhex("a1013822")  # {1: -35}: ES384. AWS's bytes
MODULE_ID = re.compile(r"i-[0-9a-f]{17}-enc[0-9a-f]{16}")
_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
_LONGEST = {
    "nonce": requests.MAX_NONCE_BYTES,
    "user_data": requests.MAX_USER_DATA_BYTES,
    "public_key": requests.MAX_PUBLIC_KEY_BYTES,
}


# Faults have positional fields, unlike other values here: `soft.fault = Fails(errno.EIO)` says it all.


class SoftNsm:
    """One module. Its `exchange` may be called by threads; like the real one it serves one request at a time.

    Args:
        pcrs: values of registers, 48 bytes each. Others have their defaults: PCR0..2 hashes of fixed texts, PCR4 the
            hash of the instance id that AWS puts there, the rest zero.
        debug: PCR0..2 are zero whatever `pcrs` says, as in an enclave started with --debug-mode.
        module_id: i-<17 hex>-enc<16 hex>; random if not given.
        clock: seconds since 1970 UTC, as `time.time`; the module's and its certificates' time.
        service_time: seconds that each request takes, during which all others wait. May be set later.
        pki: the authority that certifies the module; a new one if not given.
        sleep: how service times and hangs pass.

    Attributes:
        fault: what goes wrong with requests from now on; None for nothing.
    """

    def __init__(
        self,
        *,
        pcrs: Mapping[int, bytes] | None = None,
        debug: bool = False,
        module_id: str | None = None,
        clock: Callable[[], float] = time.time,
        service_time: float = 0.0,
        pki: NsmPki | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.module_id = _checked_module_id(module_id or _new_module_id())
        self.pki = pki or NsmPki()
        self.service_time = service_time
        self.fault: Fault | None = None
        self._clock = clock
        self._sleep = sleep
        self._registers = Registers(self.module_id, pcrs or {}, debug=debug)
        self._lock = threading.Lock()
        self._leaf = self.pki.issue_leaf(self.module_id, now=self._now())

    def exchange(self, request: bytes) -> bytes:
        """Answer one request.

        Raises what `nsm.device.Device` raises: ValueError for an empty request, DeviceFailed (EMSGSIZE) for one of
        more than 0x1000 bytes.
        """
        if not request:
            raise ValueError("a request has at least 1 byte")
        if len(request) > requests.MAX_REQUEST_BYTES:
            raise DeviceFailed(errno.EMSGSIZE)
        with self._lock:
            fault = self.fault
            self._take_time(fault)
            match fault:
                case Fails(number):
                    raise DeviceFailed(number)
                case Garbage(data):
                    return data
                case Answers(code):
                    return _error(code)
            reply = self._reply(request, fault)
            return reply[: fault.keep] if isinstance(fault, Truncated) else reply

    def _take_time(self, fault: Fault | None) -> None:
        seconds = self.service_time + (fault.seconds if isinstance(fault, Hangs) else 0.0)
        if seconds > 0:
            self._sleep(seconds)

    def _reply(self, request: bytes, fault: Fault | None) -> bytes:
        try:
            return cbor2.dumps(self._answer(decode_request(request), fault))
        except Refused as error:
            return _error(error.code)

    def _answer(self, request: requests.Request, fault: Fault | None) -> object:
        registers = self._registers
        match request:
            case requests.DescribeNSM():
                return {"DescribeNSM": self._description()}
            case requests.DescribePCR(index=index):
                return {"DescribePCR": {"lock": registers.locked(index), "data": registers.value(index)}}
            case requests.ExtendPCR(index=index, data=data):
                return {"ExtendPCR": {"data": registers.extend(index, data)}}
            case requests.LockPCR(index=index):
                registers.lock(index)
                return "LockPCR"
            case requests.LockPCRs(range=count):
                registers.lock_first(count)
                return "LockPCRs"
            case requests.Attestation():
                if isinstance(fault, WrongEcho):
                    request = _with_wrong_echo(request, fault)
                return {"Attestation": {"document": self._document(request)}}
            case requests.GetRandom():
                return {"GetRandom": {"random": secrets.token_bytes(RANDOM_BYTES)}}

    def _description(self) -> dict[str, object]:
        return {
            "version_major": 1,
            "version_minor": 0,
            "version_patch": 0,
            "module_id": self.module_id,
            "max_pcrs": PCR_COUNT,
            "locked_pcrs": list(self._registers.attested()),
            "digest": "SHA384",
        }

    def _document(self, request: requests.Attestation) -> bytes:
        now = self._now()
        if not self._leaf.serves(now):
            self._leaf = self.pki.issue_leaf(self.module_id, now=now)
        payload = _indefinite_map(
            {
                "module_id": self.module_id,
                "digest": "SHA384",
                "timestamp": (now - _EPOCH) // dt.timedelta(milliseconds=1),
                "pcrs": self._registers.attested(),
                "certificate": self._leaf.certificate,
                "cabundle": list(self._leaf.cabundle),
                "public_key": request.public_key,
                "user_data": request.user_data,
                "nonce": request.nonce,
            }
        )
        return sign1(payload, leaf=self._leaf)

    def _now(self) -> dt.datetime:
        return dt.datetime.fromtimestamp(self._clock(), dt.UTC)


def decode_request(data: bytes) -> requests.Request:
    """Read one request as the module does. Raises Refused with the code that it would answer."""
    try:
        item = one_item(data)
    except MalformedReply as error:
        raise Refused(ErrorCode.InvalidOperation) from error  # as QEMU
    name, fields = _name_and_fields(item)
    kind = _REQUESTS.get(name) if fields is not None else _UNIT_REQUESTS.get(name)
    if kind is None:
        raise Refused(ErrorCode.InvalidOperation)
    fields = fields or {}
    if any(isinstance(v := fields.get(k), bytes) and len(v) > longest for k, longest in _LONGEST.items()):
        raise Refused(ErrorCode.InputTooLarge)
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:  # a field unknown, missing, of the wrong type or out of range
        raise Refused(ErrorCode.InvalidArgument) from error


def sign1(payload: bytes, *, leaf: Leaf) -> bytes:
    """Return the COSE_Sign1 of `payload` as AWS emits it: no tag, empty unprotected map, r || s of 48 bytes each."""
    to_be_signed = cbor2.dumps(["Signature1", PROTECTED, b"", payload])  # RFC 9052 4.4
    r, s = decode_dss_signature(leaf.key.sign(to_be_signed, ec.ECDSA(hashes.SHA384())))
    return cbor2.dumps([PROTECTED, {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")])


_UNIT_REQUESTS: dict[str, Callable[..., requests.Request]] = {
    "DescribeNSM": requests.DescribeNSM,
    "GetRandom": requests.GetRandom,
}
_REQUESTS: dict[str, Callable[..., requests.Request]] = {
    "DescribePCR": requests.DescribePCR,
    "ExtendPCR": requests.ExtendPCR,
    "LockPCR": requests.LockPCR,
    "LockPCRs": requests.LockPCRs,
    "Attestation": requests.Attestation,
}


def _name_and_fields(item: object) -> tuple[str, dict[str, object] | None]:
    """Split a request: a text has no fields, a map of one entry has a map of them."""
    if isinstance(item, str):
        return item, None
    if not isinstance(item, dict) or len(item) != 1:
        raise Refused(ErrorCode.InvalidOperation)
    ((name, fields),) = item.items()
    if not isinstance(name, str):
        raise Refused(ErrorCode.InvalidOperation)
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
        raise Refused(ErrorCode.InvalidArgument)
    return name, fields


def _indefinite_map(entries: Mapping[str, object]) -> bytes:
    """AWS's outer map since 2025: of indefinite length; everything inside is of definite length."""
    pairs = (cbor2.dumps(key) + cbor2.dumps(value) for key, value in entries.items())
    return b"\xbf" + b"".join(pairs) + b"\xff"


def _with_wrong_echo(request: requests.Attestation, fault: WrongEcho) -> requests.Attestation:
    match fault.field:
        case "nonce":
            return dataclasses.replace(request, nonce=fault.value)
        case "user_data":
            return dataclasses.replace(request, user_data=fault.value)
        case "public_key":
            return dataclasses.replace(request, public_key=fault.value)


def _error(code: ErrorCode) -> bytes:
    return cbor2.dumps({"Error": code.name})


def _new_module_id() -> str:
    return f"i-0{secrets.token_hex(8)}-enc{secrets.token_hex(8)}"


def _checked_module_id(text: str) -> str:
    if not MODULE_ID.fullmatch(text):
        raise ValueError(f"module_id must be i-<17 hex>-enc<16 hex>, got {text!r}")
    return text
