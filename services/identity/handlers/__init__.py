"""One function per message that identity answers."""
