"""The speech-LLM: files in, files out."""
