"""The live link: faces over QUIC, with a bandwidth estimate, repair of losses, and a spool for what was missed."""
