"""The studio: services (plain functions, no Gradio) under pages (Gradio, thin), the job process, the command line."""
