"""The KubeArmor back end: the policies and the postures that KubeArmor is told through the Kubernetes API."""
