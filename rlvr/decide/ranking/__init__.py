"""The parts of `rlvr decide rank`: the log, the network, one ranker per file, and users to test them on."""
