"""What applies a policy: the compiler to kernel tables and the back ends that enforce it."""
