// Package lean takes from a root file system what a release does not need to
// run in a VM, and says why each thing went or stayed.
//
// It works at three levels, each a superset of the one before: LevelNone takes
// nothing; LevelStrip takes what is not needed to run the applications that are
// there (debug information, documentation, sources, symbols, shell wrappers);
// LevelClosure takes the applications that nothing in the release depends on.
// What is known about applications and files is data: data/applications.hcl and
// data/files.hcl, each entry with its reason.
//
// The release's boot script is changed with the tree, so what Apply leaves boots
// without the applications that went. A dependency always wins: what the
// release's .app files ask for stays, whatever the data says.
//
// Package lean does not know how the tree was built or how it is written to an
// image, and does not look inside modules for who calls whom.
package lean
