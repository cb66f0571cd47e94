"""Fields that several messages have: base64 has one spelling."""

import base64

from hypothesis import example, given
from hypothesis import strategies as st

from wire import fields
from wire.errors import MessageError


def by_encoding_again(text: str) -> bytes | None:
    """The definition: what Python decodes, and encodes again to the same text."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data).decode() == text else None


def read(text: str) -> bytes | None:
    try:
        return fields.base64_bytes("field", text)
    except MessageError:
        return None


@given(
    st.text(alphabet="ABCQgw019+/=-_ \n\té", max_size=13)
    | st.binary(max_size=9).map(lambda b: base64.b64encode(b).decode())
)
@example("AP/+=")
@example("AB==")
@example("=")
@example("")
def test_base64_is_read_exactly_where_it_is_what_encoding_gives(text: str) -> None:
    assert read(text) == by_encoding_again(text)
