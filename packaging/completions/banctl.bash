# bash asks banctl itself: its words, its jails, and who is banned.
source <(COMPLETE=bash banctl)
