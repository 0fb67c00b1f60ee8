package vm

import "errors"

// ioUring is Linux'.
func ioUring() error { return errors.New("io_uring: this is not Linux") }
