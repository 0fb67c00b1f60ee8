// Package inspect reads images: which files are in one, and what each takes of
// it, whoever made it. It boots nothing and judges nothing.
//
// An image is hostile until it is read: every length in it is checked against
// what is left, links are data, and contents are unpacked no further than Limits.
package inspect
