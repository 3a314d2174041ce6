// Package updater is the device's side of a firmware update: the /fw resources of
// docs/firmware.md over two slots and a journal in flash memory, and the boot loader
// that tests, confirms and reverts. A cut of the power at any byte leaves a device
// that boots an image which was verified.
package updater
