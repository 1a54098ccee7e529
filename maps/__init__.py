"""What a map looks like, as data: palettes, styles, page templates."""
