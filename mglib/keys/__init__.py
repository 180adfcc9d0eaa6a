"""Keys looked at from outside: why one is what it is, whether it still holds, what is left over."""
