"""The pages: thin Gradio over the services. No SQL, no model and no rule of the studio lives here."""
