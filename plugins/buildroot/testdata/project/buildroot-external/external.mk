include $(sort $(wildcard $(BR2_EXTERNAL_LEANLAB_PATH)/package/*/*.mk))
