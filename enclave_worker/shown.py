"""An NSM document as replies show it, in JSON: made once, however many answers repeat it."""

from nsm.client import Attested
from wire import jsontext

ECHOED_PCRS = (0, 1, 2)


def show(attested: Attested) -> bytes:
    """Return the members `nsmDocument` and `pcrs` of a reply's `attestation`. The document has the echoed PCRs."""
    pcrs = attested.fields.pcrs
    echoed = ",".join(f'"pcr{index}":"{pcrs[index].hex()}"' for index in ECHOED_PCRS)
    return b'%b,"pcrs":{%b}' % (jsontext.base64_member("nsmDocument", attested.document), echoed.encode())
