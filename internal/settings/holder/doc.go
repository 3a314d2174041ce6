// Package holder is the device's side of a change of settings: the /cfg resources of
// docs/settings.md over a store. It checks, keeps a candidate, switches at one time,
// tries the new settings and goes back to those before unless they are confirmed.
//
// Every step is one write of one record, durable before its answer leaves: at any cut
// of the power a device has wholly the old or wholly the new settings, and it never
// stays on new ones that nobody confirmed. Like network equipment's confirmed commit
// (RFC 6241, Section 8.4), the timer is the device's own: it needs nobody to go back.
//
// # Time
//
// Timers run by a clock that nobody sets: how long the device is on. Only a switch "at"
// a time of day and a restart need the clock on the wall.
//   - A switch "in" some time is forgotten by a restart; the candidate stays, to be
//     committed anew. A switch "at" a time survives it in a device with a clock.
//   - When the clock on the wall is set forward past the time of a switch, the device
//     switches at once; but not if it is later than the time to confirm: the others
//     are through by then, so the change is dropped ([settings.ResultTime]).
//   - When it is set backward, the device switches when the time that was left has gone by.
//   - A device that restarts while it tries new settings goes back at once, unless its
//     clock tells that time to confirm is left; and after the third restart anyway.
//
// # Freshness
//
// Commit, confirm, cancel and revert quote a nonce that the device gave. It is good
// once, for five minutes, and none outlives a switch or a restart: who confirms has
// reached the device over the new settings.
package holder
