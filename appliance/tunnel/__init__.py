"""Layer 3: sessions, the streams they keep warm, and which of them serves a name. No HTTP is parsed here."""
