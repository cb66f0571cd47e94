"""The operations that can be derived, in a literal table: how, and what the predecessor's record of each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final

from tytle_verifier.derive import hmrc, monerium, sicae, stripe, vies
from tytle_verifier.derive.trace import Trace, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """`run` takes the calls in order and returns the values under our schema `schema`; `record` makes the other's."""

    run: Callable[[Trace], Values]
    schema: str
    record_schema: str
    record: Callable[[Values], Values]


def _stripe(name: str, kind: str) -> Derivation:
    run = stripe.list_of if name.startswith("list") else stripe.object_of
    return Derivation(
        run=partial(run, kind=kind),
        schema=f"tytle/stripe-{name.replace('_', '-')}/v1",
        record_schema="STRIPE_PAYMENT",
        record=partial(stripe.record, f"stripe.{name}"),
    )


def _vies(run: Callable[[Trace], Values]) -> Derivation:
    return Derivation(run=run, schema="tytle/vies-check-vat/v1", record_schema="VIES", record=vies.record)


OPERATIONS: Final[Mapping[str, Derivation]] = MappingProxyType(
    {
        "vies.check_vat": _vies(vies.check_vat),
        "vies.check_vat_rest": _vies(vies.check_vat_rest),
        "hmrc.lookup": Derivation(
            run=hmrc.lookup, schema="tytle/hmrc-lookup/v1", record_schema="VIES", record=hmrc.record
        ),
        "sicae.lookup": Derivation(
            run=sicae.lookup, schema="tytle/sicae-lookup/v1", record_schema="SICAE", record=sicae.record
        ),
        "stripe.list_charges": _stripe("list_charges", "charge"),
        "stripe.list_customers": _stripe("list_customers", "customer"),
        "stripe.list_invoices": _stripe("list_invoices", "invoice"),
        "stripe.get_payment_intent": _stripe("get_payment_intent", "payment_intent"),
        "stripe.get_account": _stripe("get_account", "account"),
        "stripe.get_charge": _stripe("get_charge", "charge"),
        "monerium.order_with_balance": Derivation(
            run=monerium.order_with_balance,
            schema="tytle/monerium-order-with-balance/v1",
            record_schema="MONERIUM_PAYMENT",
            record=monerium.record,
        ),
    }
)
