// Package bench measures images: size, boot, memory. Every figure comes of files
// that were weighed and of VMs that were booted for it; what cannot be measured
// on a host is left out of the result, with the reason.
//
// It does not build images, and it does not judge figures: Compare says what
// changed, and its caller what is too much.
package bench
