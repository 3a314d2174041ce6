//go:build race || js

package oscore

// flipShare is how many of 1000 single-bit flips are tried.
const flipShare = 20
