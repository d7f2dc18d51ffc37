"""The pages: plain ones (log in, first run, admin), and live ones that change while someone looks."""
