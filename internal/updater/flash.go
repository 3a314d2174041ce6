package updater

// Flash is a NOR flash memory: an erased bit is 1, programming can only clear bits,
// and erasing sets those of a whole sector. Operations that were cut off leave a part
// done, and bits that were cleared stay so.
type Flash interface {
	Size() int   // bytes, a multiple of Sector
	Sector() int // bytes that are erased at a time

	Read(off int, p []byte) error
	Program(off int, p []byte) error // clears the bits that are 0 in p; the same bytes may be programmed again
	Erase(off int) error             // sets all bits of the sector at off
}
