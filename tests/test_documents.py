"""The documents are run, not only read: README's example, its commands, ARCHITECTURE's table of differences, and the
tests that SECURITY.md calls as its witnesses."""

import ast
import base64
import contextlib
import io
import re
from hashlib import sha256
from pathlib import Path

import pytest

from devstack.stack import Stack
from tytle_verifier import log

ROOT = Path(__file__).parent.parent
# Rows of ARCHITECTURE.md's deviations in queries that no vector of the predecessor shows, and the test that shows each.
SHOWN_BY = {
    "Q10": "test_fields.py::test_absent_empty_zero_and_false_differ_as_they_did_not_before",
    "Q11": "test_payments_attested.py::test_the_fields_of_the_predecessor_are_those_of_the_last_call",
    "V3": "test_handler_vies.py::test_a_fault_is_an_error_of_its_own",
    "V4": "test_predecessor_vies.py::test_v4_blanks_and_numerals_are_what_xml_schema_says",
    "V5": "test_predecessor_vies.py::test_v5_an_entity_is_decoded",
    "V7": "test_predecessor_vies.py::test_v7_an_answer_that_repeats_another_number_is_no_answer",
    "V8": "test_handler_vies.py::test_the_placeholder_is_absent_and_an_empty_text_is_not",
    "V9": "test_handler_vies.py::test_what_has_not_the_published_shape_is_malformed_and_never_false",
    "V10": "test_handler_vies.py::test_the_soap_call_is_these_bytes_and_the_policy_lets_it_pass",
    "H2": "test_predecessor_vies.py::test_h2_gb_is_not_asked_of_vies",
    "H3": "test_handler_hmrc.py::test_the_call_names_version_2_and_carries_the_token_in_a_secret_header",
    "H5": "test_handler_hmrc.py::test_any_other_404_says_nothing_about_the_number",
    "H7": "test_handler_hmrc.py::test_a_documented_answer_gives_all_its_values",
    "S13": "test_handlers_sicae.py::test_what_is_no_answer_is_an_error_and_never_not_found",
    "S14": "test_handlers_sicae.py::test_a_page_that_shows_another_number_in_its_form_is_an_answer_to_another_question",
    "S15": "test_handlers_sicae.py::test_hidden_fields_are_found_by_name_or_id_whatever_stands_around_them",
    "S16": "test_handlers_sicae.py::test_a_cell_says_what_its_column_means",
    "T8": "test_handlers_stripe.py::test_a_404_of_another_kind_says_nothing_about_the_object",
    "T9": "test_handlers_stripe.py::test_the_values_are_the_fields_of_the_schema_and_hold_no_key",
    "T10": "test_payments_attested.py::test_the_key_is_in_no_reply_no_statement_and_no_line_of_the_log",
    "M5": "test_handlers_monerium.py::test_the_balance_is_of_the_block_whose_number_hash_and_time_stand_beside_it",
    "M6": "test_handlers_monerium.py::test_what_is_no_answer_to_a_question_to_the_node_is_a_failure",
    "M7": "test_handlers_monerium.py::test_another_order_chain_or_currency_is_a_mismatch",
    "M8": "test_handlers_monerium.py::test_amounts_states_and_addresses_have_one_spelling",
}


def fenced(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def examples() -> list[str]:
    """README's Python that runs as it stands; what begins with a file's name is for test_guide."""
    return [block for block in fenced("README.md", "python") if not block.startswith("# ")]


def output_of(example: str) -> str:
    printed = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(printed):
        exec(example, {})  # noqa: S102  README's own text
    return printed.getvalue()


def test_the_fetch_in_readme_works(running_stack: Stack) -> None:
    fetch, _, _ = examples()
    printed = output_of(fetch.replace("http://127.0.0.1:5001", running_stack.url))
    assert printed.startswith("True 200 {")
    assert re.search(r'"valid"\s*:\s*true', printed)


def test_the_query_in_readme_works(running_stack: Stack) -> None:
    _, query, _ = examples()
    printed = output_of(query.replace("http://127.0.0.1:5001", running_stack.url))
    assert printed.startswith("True TYTLE LDA D95w")  # the first element is the digest of the schema


def test_the_mocked_parent_in_readme_works() -> None:
    _, _, mocked = examples()
    assert output_of(mocked) == "ΦΑΝΤΑΣΤΙΚΗ vies\n"


def test_every_command_in_readme_is_a_target_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z0-9-]+)", "\n".join(fenced("README.md", "sh")), re.MULTILINE))
    assert named
    assert named <= targets


def rows_of_deviations() -> set[str]:
    return set(re.findall(r"^\| ([A-Z]\d+) \|", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE))


def deviations_of_vectors() -> set[str]:
    """Return the rows that tests of the predecessor's vectors name."""
    named = set()
    for path in (ROOT / "tests").glob("test_*.py"):
        named |= set(re.findall(r'(?:: |\()"([PEHUQVSTM]\d+)"', path.read_text(encoding="utf-8")))
    return named


def test_every_deviation_that_a_test_names_is_a_row_of_the_architecture() -> None:
    named = deviations_of_vectors()
    assert {"E1", "H1", "P1", "Q1", "V1", "S1", "T1", "M1"} <= named
    assert named <= rows_of_deviations()


def test_every_deviation_of_a_query_has_a_test_that_shows_it() -> None:
    rows = {row for row in rows_of_deviations() if row[0] in "QVSTM" or (row[0] == "H" and row != "H1")}
    vectors = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_predecessor_*.py"))
    assert rows - set(re.findall(r"\b[QVHSTM]\d+\b", vectors)) <= SHOWN_BY.keys() <= rows
    missing = {
        name for name in SHOWN_BY.values() if name.split("::")[1] not in functions(ROOT / "tests" / name.split("::")[0])
    }
    assert missing == set()


def links(*documents: str) -> list[tuple[str, str]]:
    """Return every link of these documents that leads to a file: document and target."""
    texts = {document: (ROOT / document).read_text(encoding="utf-8") for document in documents}
    found = {name: re.findall(r"\]\(([A-Za-z._/]*(?:#[^)]*)?)\)", text) for name, text in texts.items()}
    return [(document, link) for document in documents for link in found[document]]


DOCUMENTS = (
    *("README.md", "OPERATIONS.md", "SECURITY.md", "ARCHITECTURE.md", "DERIVATIONS.md", "VERIFICATION.md"),
    *("CONTRIBUTING.md", "bench/README.md"),
)


@pytest.mark.parametrize(("document", "link"), links(*DOCUMENTS))
def test_every_link_leads_to_a_file_and_a_heading(document: str, link: str) -> None:
    file, _, heading = link.partition("#")
    target = (ROOT / document).parent / file if file else ROOT / document
    assert target.exists()
    if heading:
        assert heading in headings(target)


def test_the_worked_example_of_the_log_is_computed() -> None:
    section = (ROOT / "VERIFICATION.md").read_text(encoding="utf-8").partition("\n## The archive's log\n")[2]
    (example,) = re.findall(r"^```text\n(attestationId.*?)^```$", section, re.MULTILINE | re.DOTALL)
    said = dict(line.split("=", 1) for line in re.sub(r"\s*\n +| +", "", example).splitlines())
    entry = log.ENTRY_PROFILE + said["attestationId"].encode() + sha256(said["reply"].encode()).digest()
    size, root = said["head"].removeprefix("size").split(",root")
    head = log.Head(size=int(size), root=bytes.fromhex(root))
    assert said["entry"] == entry.hex()
    assert said["leaf"] == sha256(b"\0" + entry).hexdigest()
    assert said["challenge"] == base64.b64encode(log.challenge_for(head)).decode()


def headings(path: Path) -> set[str]:
    """Return the anchors of a Markdown file, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_test_that_the_security_page_names_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`", text)
    assert len(named) >= 60
    assert len(named) == text.count("::") == len(re.findall(r"test_\w+\.py", text))  # none in another spelling
    missing = {f"{file}::{name}" for file, name in named if name not in functions(ROOT / "tests" / file)}
    assert missing == set()


def functions(path: Path) -> set[str]:
    """Return the names of the functions of a module; none where there is no such module."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
