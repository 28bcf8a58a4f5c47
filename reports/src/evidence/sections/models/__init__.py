"""What is it worth in a whole model?"""

from evidence.core.section import Section

SECTION = Section(name="models", title="What is it worth in a whole model?", order=90, tables=("models",))
