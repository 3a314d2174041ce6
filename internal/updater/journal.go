package updater

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The journal is two halves of which one is in use. A half begins with a header
// that is written last, and goes on with records; each record replaces an earlier
// one of its kind. When a half is full, what still counts is written to the other.
//
//	header = "LLJ1" | epoch: 4 bytes | CRC-32 of both
//	record = length: 2 bytes | payload | CRC-32 of both
//
// Numbers are big-endian. A record that was cut off fails its CRC, and ends what is
// read; a half without a good header counts for nothing. The half with the higher
// epoch is in use.
type journal struct {
	flash      Flash
	base, half int    // where it begins, and the bytes of one half
	active     int    // the half in use; -1: none yet
	epoch      uint32 // of that half
	end        int    // where the next record goes
	dirty      bool   // what stands at end is not erased

	// snapshot gives the payloads that still count.
	snapshot func() [][]byte
}

const (
	journalMagic = "LLJ1"
	headerSize   = len(journalMagic) + 4 + 4
	recordExtra  = 2 + 4 // beside the payload
	minHalf      = 4096
	noRecord     = 0xffff // a length that reads as erased
)

// errFlash is a flash memory that does not hold what was written.
var errFlash = errors.New("the flash memory failed")

// openJournal finds the half in use and returns the payloads in it.
func openJournal(flash Flash, base, half int) (*journal, [][]byte, error) {
	j := &journal{flash: flash, base: base, half: half, active: -1}
	var records [][]byte
	for i := range 2 {
		b := make([]byte, half)
		if err := flash.Read(base+i*half, b); err != nil {
			return nil, nil, fmt.Errorf("reading the journal: %w", err)
		}
		epoch, ok := parseHeader(b)
		if !ok || j.active >= 0 && epoch < j.epoch {
			continue
		}
		j.active, j.epoch = i, epoch
		records, j.end = parseRecords(b)
		j.dirty = !erased(b[j.end:])
	}
	return j, records, nil
}

func appendHeader(dst []byte, epoch uint32) []byte {
	n := len(dst)
	dst = append(dst, journalMagic...)
	dst = binary.BigEndian.AppendUint32(dst, epoch)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[n:]))
}

func parseHeader(half []byte) (epoch uint32, ok bool) {
	if len(half) < headerSize {
		return 0, false
	}
	epoch = binary.BigEndian.Uint32(half[len(journalMagic):])
	return epoch, bytes.Equal(appendHeader(nil, epoch), half[:headerSize])
}

func appendRecord(dst, payload []byte) []byte {
	n := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(payload)))
	dst = append(dst, payload...)
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(dst[n:]))
}

// parseRecords returns the payloads behind the header, up to the first record that
// is none, and where that is.
func parseRecords(half []byte) (records [][]byte, end int) {
	for end = headerSize; end+recordExtra <= len(half); {
		n := int(binary.BigEndian.Uint16(half[end:]))
		if n == 0 || n == noRecord || end+n+recordExtra > len(half) {
			break
		}
		sum := end + 2 + n
		if crc32.ChecksumIEEE(half[end:sum]) != binary.BigEndian.Uint32(half[sum:]) {
			break
		}
		records = append(records, half[end+2:sum])
		end = sum + 4
	}
	return records, end
}

func erased(b []byte) bool {
	for _, v := range b {
		if v != 0xff {
			return false
		}
	}
	return true
}

// append makes a record durable. A place that does not take it is left for the
// other half.
func (j *journal) append(payload []byte) error {
	record := appendRecord(nil, payload)
	if j.active < 0 || j.dirty || j.end+len(record) > j.half {
		return j.compact(record)
	}
	if err := program(j.flash, j.base+j.active*j.half+j.end, record); err != nil {
		j.dirty = true
		return j.compact(record)
	}
	j.end += len(record)
	return nil
}

// compact writes what counts and one more record to the other half. Until its
// header is there the half in use stays so.
func (j *journal) compact(record []byte) error {
	other := 0
	if j.active == 0 {
		other = 1
	}
	base, end := j.base+other*j.half, headerSize
	if err := erase(j.flash, base, j.half); err != nil {
		return err
	}
	var records [][]byte
	if j.active >= 0 {
		for _, payload := range j.snapshot() {
			records = append(records, appendRecord(nil, payload))
		}
	}
	for _, r := range append(records, record) {
		if end+len(r) > j.half {
			return fmt.Errorf("%w: the journal is too small", errFlash)
		}
		if err := program(j.flash, base+end, r); err != nil {
			return err
		}
		end += len(r)
	}
	if err := program(j.flash, base, appendHeader(nil, j.epoch+1)); err != nil {
		j.dirty = true // the header may count after all: nothing more goes to this half
		return err
	}
	j.active, j.epoch, j.end, j.dirty = other, j.epoch+1, end, false
	return nil
}
