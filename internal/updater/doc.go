// Package updater is the device's side of a firmware update: the /fw resources of
// docs/firmware.md over two slots and a journal in flash memory, and the boot loader
// that tests, confirms and reverts. A cut of the power at any byte leaves a device
// that boots an image which was verified.
//
// The manifest is a SUIT envelope (draft-ietf-suit-manifest-37) that the device
// verifies with its own trust anchors; blocks and the code that repairs them are of
// package firmware. What is in the journal is trusted: it stands in the device's own
// flash. The boot loader checks the image's digest at each start, and no signature.
//
// Not built: images that are encrypted, patched or in several components, a
// schedule that outlives a loss of power, and an image that is run in place.
package updater
