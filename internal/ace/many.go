package ace

import (
	"encoding/binary"
	"fmt"
)

// CheckOneToMany does of [MgtKeyMaterial.OpenOneToMany] everything but to verify
// the signature, and uses nothing of what it finds: who does not have keys of the
// tree cannot make a message that passes, so that a flood of such messages costs no
// signature checks. Who was a member can: what passes is not authentic yet.
func (m *MgtKeyMaterial) CheckOneToMany(group string, data []byte) error {
	obj, h, err := parseOneToMany(data)
	if err != nil {
		return err
	}
	if h.Alg != m.Alg || binary.BigEndian.Uint32(h.KID) != m.Generation {
		return fmt.Errorf("checking a rekeying message: %w", ErrGeneration)
	}
	if len(obj.Unprotected.PartialIV) != len(m.BaseIV) {
		return fmt.Errorf("%w: a Partial IV of %d bytes", ErrDecode, len(obj.Unprotected.PartialIV))
	}
	num, ok := treeNum(obj.Unprotected.PartialIV)
	if !ok || num <= m.Num || num-m.Num > MaxTreeSteps {
		return fmt.Errorf("checking a rekeying message: %w", ErrStale)
	}
	plain, err := m.decrypt(group, num, obj, h)
	clear(plain)
	return err
}
