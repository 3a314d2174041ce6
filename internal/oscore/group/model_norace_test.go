//go:build !race

package group

const modelRace = false
