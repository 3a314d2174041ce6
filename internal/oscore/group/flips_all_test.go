//go:build !race && !js

package group

// slow says that to flip every bit would take too long.
const slow = false
