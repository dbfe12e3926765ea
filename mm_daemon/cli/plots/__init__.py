"""Pictures, drawn by matplotlib where it is installed: it is imported when one is asked for."""
