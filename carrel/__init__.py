"""The command line and the one-command supervisor: the outermost room, sees everything, is seen by nothing."""
