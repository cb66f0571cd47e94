"""Which stand-in answers for which upstream host."""

from collections.abc import Mapping

from devstack.hmrc import Hmrc
from devstack.vies import Vies

HANDLERS: Mapping[str, type[Vies] | type[Hmrc]] = {"ec.europa.eu": Vies, "api.service.hmrc.gov.uk": Hmrc}
