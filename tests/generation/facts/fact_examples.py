"""A film, a garment and a catalogue around them."""

FILM = {
    "movie_id": 1,
    "title": "Matrix Story, The (1995)",
    "Year": "1995",
    "Director": "John Lasseter",
    "Actors": "Tom Hanks, Penélope Cruz, Michael J. Fox",
    "Genre": "Comedy, Adventure, Family",
    "Runtime": "120 min",
    "Country": "USA",
    "Plot": "A cowboy doll named Woody meets Buzz Lightyear, a space toy, in Chicago in 1980.",
}
SCARF = {
    "item_id": "scarf-1",
    "subcategory": "scarf",
    "brand": "Fjord",
    "colour": "red",
    "material": "wool",
    "price": 12.0,
    "pattern": "stripes",
}
OTHERS = [
    {**FILM, "Director": "Jane Campion", "Actors": "Holly Hunter, Sam Neill", "Genre": "Drama, Romance, Horror"},
    {**SCARF, "subcategory": "hat", "brand": "Lumen", "colour": "blue", "material": "leather", "pattern": "dots"},
]
