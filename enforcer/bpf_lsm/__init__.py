"""The BPF-LSM back end: policies in kernel maps, programs that judge by them, pins that outlive the daemon."""
