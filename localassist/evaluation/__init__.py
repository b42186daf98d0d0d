"""How well retrieval works: questions with known answers, metrics, and strategies compared."""
