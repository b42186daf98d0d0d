"""What is measured. Each subject runs in a process of its own: two teams of OpenMP threads in one
process disturb each other, and so would a client that computes beside them."""
