"""REGISTER -> VERDICTS: rulebook, engine, reference books, identification, verdict, proof."""
