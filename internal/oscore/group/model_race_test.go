//go:build race

package group

// modelRace says that the race detector watches, which takes its time.
const modelRace = true
