"""Files that only grow: written before an answer is given, read into the database afterwards."""
