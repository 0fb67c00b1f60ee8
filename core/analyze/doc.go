// Package analyze says what an image consists of and what each part costs:
// kernel, C library, BusyBox, BEAM, the applications of OTP, Elixir, the app and
// its dependencies, the packages of a distribution, and files that nobody owns.
//
// Files are recognised by where they lie and what they hold, not by who built
// the image: an application is a directory with ebin/NAME.app, the packages are
// those of dpkg's and apk's databases, and the rest is in data/components.hcl
// with reasons.
//
// It reads images through package inspect, judges nothing and boots nothing.
package analyze
