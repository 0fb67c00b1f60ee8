/* the VM's first process */
