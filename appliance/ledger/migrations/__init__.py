"""The steps from one schema to the next, in Alembic's form.

`HEAD` stands here so that a start on an up-to-date database need not import Alembic; a test
holds it equal to the newest file in `versions/`.
"""

HEAD = "0013"
