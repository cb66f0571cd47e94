"""Which stand-in answers for which upstream host."""

from collections.abc import Callable, Mapping

from devstack import gnosis, monerium, stripe
from devstack.hmrc import Hmrc
from devstack.sicae import Sicae
from devstack.upstream import Handler
from devstack.vies import Vies

HANDLERS: Mapping[str, Callable[[], Handler]] = {
    "ec.europa.eu": Vies,
    "api.service.hmrc.gov.uk": Hmrc,
    stripe.HOST: stripe.Stripe,
    monerium.HOST: monerium.Monerium,
    gnosis.HOST: gnosis.Gnosis,
    "www.sicae.pt": Sicae,
}
