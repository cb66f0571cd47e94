"""`python -m tests.faults` writes the matrix into SECURITY.md."""

from tests.faults import matrix, table

if __name__ == "__main__":
    document = table.DOCUMENT.read_text(encoding="utf-8")
    table.DOCUMENT.write_text(table.written(document, matrix.load()), encoding="utf-8")
