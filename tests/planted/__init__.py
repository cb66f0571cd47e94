"""A secret planted in every input, and a look at everything that comes out.

`inputs` says what is planted, how, and where it may show; `world` is the system with every outlet kept; `application`
is the parent that it runs. Rule: an outlet that an input does not name is forbidden to it.
"""
