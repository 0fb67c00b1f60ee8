$(eval $(call package,host-tool,3,,host,package/host-tool,HOST_TOOL))
