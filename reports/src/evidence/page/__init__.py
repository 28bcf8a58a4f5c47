"""The pages of a pack: the report in HTML and Markdown. Reads packs alone, and needs no torch."""
