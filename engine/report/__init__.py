"""`python -m engine report`: one HTML page of a run, or of two compared, with every turn behind its figures."""
