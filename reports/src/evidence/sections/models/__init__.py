"""What swapped ops are worth in a whole model: the same answers, tokens a second, start-up, memory, cost."""
