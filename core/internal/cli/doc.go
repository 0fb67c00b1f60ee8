// Package cli is leanlab's command line: one file per command. The whole of it
// can be run in-process (see App), which is how its tests run it.
//
// Exit codes: 0 done; 1 something is wrong with the input, the machine or the
// image; 2 wrong usage; 130 interrupted.
package cli
