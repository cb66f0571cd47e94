"""What app/openapi.json is made from. The parent serves the file; a test makes it anew and compares.

Rule of this folder: values and functions that return values, in the order in which they are shown. What is true of the
application is checked against the application, not here.
"""
