//! A pure model of Unix domain sockets and of the machine around them.
