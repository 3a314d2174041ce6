package ace

import (
	"fmt"

	"lamplighter/internal/cbor"
)

// AdminPolicies are the policies of a group as its administrators see and set
// them: those of RFC 9594, Section 4.3.1, and this project's own, which no member
// is told in group_policies (docs/servers.md).
type AdminPolicies struct {
	SNSync          Param[AlgorithmID] `cbor:"0,keyasint,omitzero"`      // Sequence Number Synchronization Method
	CheckInterval   Param[uint64]      `cbor:"1,keyasint,omitzero"`      // Key Update Check Interval, seconds
	ExpirationDelta Param[uint64]      `cbor:"2,keyasint,omitzero"`      // seconds
	RekeyOnJoin     Param[bool]        `cbor:"-65537,keyasint,omitzero"` // new members cannot read what was sent before
	RekeyPeriod     Param[uint64]      `cbor:"-65538,keyasint,omitzero"` // seconds between rekeyings; 0: none by period
	RekeyingScheme  Param[int]         `cbor:"-65539,keyasint,omitzero"` // ACE Groupcomm Rekeying Schemes
	Multicast       Param[string]      `cbor:"-65540,keyasint,omitzero"` // ADDRESS:PORT of the group's requests; empty: none
	KeyLifetime     Param[uint64]      `cbor:"-65541,keyasint,omitzero"` // seconds that each version of the keys lives
}

func (p *AdminPolicies) fields() []field {
	return []field{
		{PolicySNSyncMethod, "", &p.SNSync, false},
		{PolicyKeyUpdateCheckInterval, "", &p.CheckInterval, false},
		{PolicyExpirationDelta, "", &p.ExpirationDelta, false},
		{PolicyRekeyOnJoin, "", &p.RekeyOnJoin, false},
		{PolicyRekeyPeriod, "", &p.RekeyPeriod, false},
		{PolicyRekeyingScheme, "", &p.RekeyingScheme, false},
		{PolicyMulticast, "", &p.Multicast, false},
		{PolicyKeyLifetime, "", &p.KeyLifetime, false},
	}
}

// UnmarshalCBOR reads the policies. One that is not known is an error, which wraps
// [ErrDecode].
func (p *AdminPolicies) UnmarshalCBOR(data []byte) error {
	*p = AdminPolicies{}
	items, err := labelled(data)
	if err != nil {
		return err
	}
	known := 0
	for _, f := range p.fields() {
		item, ok := items[f.label]
		if !ok {
			continue
		}
		known++
		if isNull(item) {
			return fmt.Errorf("%w: policy %d is null", ErrDecode, f.label)
		}
		if err := f.value.UnmarshalCBOR(item); err != nil {
			return fmt.Errorf("%w: policy %d: %v", ErrDecode, f.label, err)
		}
	}
	if known != len(items) {
		return fmt.Errorf("%w: unknown policies", ErrDecode)
	}
	return nil
}

// MarshalCBOR writes the policies that are present.
func (p AdminPolicies) MarshalCBOR() ([]byte, error) {
	type plain AdminPolicies
	return cbor.Marshal(plain(p))
}
