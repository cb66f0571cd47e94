"""Handlers: the questions that an enclave answers with typed values, one file per service.

The room's rule: a handler is a pure function around an injected fetch. It asks for upstream calls and reads what came
back; it opens nothing, knows no clock, no key and no other handler. What it may ask for is decided elsewhere, by the
manifest's rules, and what it says is put into a statement elsewhere. Nothing here imports anything of ours but this
folder, `wire.jsontext` and its error.

`HANDLERS` is the whole registry: a service is served by what stands in its line, and by nothing else.
"""

from enclave_worker.handlers import hmrc, monerium, sicae, stripe, vies
from enclave_worker.handlers.operation import Operation

HANDLERS: dict[str, tuple[Operation, ...]] = {
    "vies": vies.OPERATIONS + hmrc.OPERATIONS,
    "sicae": sicae.OPERATIONS,
    "stripe-payment": stripe.OPERATIONS,
    "monerium-payment": monerium.OPERATIONS,
}
"""By the name of the service, as in `services/NAME.toml`: every operation that this code can run for it."""
