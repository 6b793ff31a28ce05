"""Wire shapes as the contract has them, to and from our types."""
