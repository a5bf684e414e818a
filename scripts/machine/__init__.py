"""What a command needs on the machine, and how it gets there. Standard library only: it runs first."""
