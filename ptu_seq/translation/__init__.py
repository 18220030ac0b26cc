"""Low-resource translation: corpora, vocabularies, the parent model, and the jobs of a study."""
