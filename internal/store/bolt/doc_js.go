// Package bolt has nothing for a browser; see package indexeddb.
package bolt
