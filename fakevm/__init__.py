"""A real OpenStack Neutron with emulated VMs to serve: a lab in containers, without Nova."""
