"""The truth: typed models, migrations and repositories (functions over a session). Knows nothing of torch or Gradio."""
