"""Small models that the book trains once, and that chapters start from."""

SHARED = {
    "colonoscopy": "colonoscopy_base",
    "colonoscopy_tokens": "tokenizer_of_pictures",
    "findings_reader": "findings_reader",
    "scene_reader": "scene_reader",
    "small_gill": "small_gill",
    "tiny_llava": "tiny_base",
    "two_towers": "tower_family",
}
"""By module, the function that trains its model and keeps it; without arguments it is the one that chapters share."""
