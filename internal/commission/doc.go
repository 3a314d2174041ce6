// Package commission is the installer's engine: a site with its credential, the
// devices of its labels, durable jobs that claim and join them, group commands
// and roll calls. It runs unchanged in a browser, behind the native command and
// in tests: clock, randomness, store and exchange are given to it.
package commission
