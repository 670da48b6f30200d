"""Tables of text: which columns there are, and how their cells are parsed."""
