"""The server: receives faces over the link and by WHIP, estimates, stores, and shows on a web page."""
