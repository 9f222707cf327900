"""Corpora to manifests, the spoken form of text, synthetic speech, batching, frame cache."""
