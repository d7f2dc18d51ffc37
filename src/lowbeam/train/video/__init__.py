"""Networks that know video: codecs in the loop of the mixture, and a head that remembers."""
