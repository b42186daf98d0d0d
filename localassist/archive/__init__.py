"""A data folder as one file and back, and objects of the API as a documented archive and back."""
