# fish asks banctl itself: its words, its jails, and who is banned.
COMPLETE=fish banctl | source
