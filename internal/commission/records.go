package commission

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"

	"lamplighter/internal/cbor"
	"lamplighter/internal/cose"
	"lamplighter/internal/join"
	"lamplighter/internal/label"
	"lamplighter/internal/store"
)

// Keys of the store. Values are CBOR maps with integer keys.
const (
	keySite   = "site"    // siteRecord
	preDevice = "device/" // device/ID: deviceRecord
	preGroup  = "group/"  // group/NAME: groupRecord
	preMember = "member/" // member/NAME: memberRecord, the browser's own membership
	preMark   = "mark/"   // mark/NAME: uint, below which every Sender Sequence Number may be used
	preJob    = "job/"    // job/ID: jobRecord
	preItem   = "item/"   // item/JOB/DEVICE: itemRecord

	keyAnchors = "anchors"  // []trustAnchor, the keys that devices said they trust
	preImage   = "image/"   // image/DIGEST: imageRecord
	preChunk   = "chunk/"   // chunk/DIGEST/NUMBER: bstr, a part of an image
	preRollout = "rollout/" // rollout/JOB: rolloutRecord
	preBoard   = "board/"   // board/JOB: Rollout, as it was shown last
)

// siteRecord is what this browser manages and with which rights. The invitation's
// secret is kept until the installer key replaces it.
type siteRecord struct {
	Seed         cose.Secret `cbor:"1,keyasint"` // Ed25519 seed of the site credential
	Cred         []byte      `cbor:"2,keyasint"` // the site credential, an untagged CCS
	Name         string      `cbor:"3,keyasint"`
	Installer    string      `cbor:"4,keyasint"`
	Code         cose.Secret `cbor:"5,keyasint"`           // access code of the bridge
	Invitation   []byte      `cbor:"6,keyasint,omitempty"` // id; empty once enrolled
	Secret       cose.Secret `cbor:"7,keyasint,omitempty"` // invitation secret; empty once enrolled
	InstallerKey cose.Secret `cbor:"8,keyasint,omitempty"` // empty until enrolled
	ASAddress    string      `cbor:"9,keyasint"`
	ASCred       []byte      `cbor:"10,keyasint"`
	GMAddress    string      `cbor:"11,keyasint"`
	GMCred       []byte      `cbor:"12,keyasint"`
	Multicast    string      `cbor:"13,keyasint"`
	BackedUp     bool        `cbor:"14,keyasint"`

	Commissioners []commissionerEntry `cbor:"20,keyasint,omitempty"` // who may manage its devices; none: nobody was asked about yet
	ListRev       uint64              `cbor:"21,keyasint,omitempty"` // of Commissioners
	Removed       [][]byte            `cbor:"22,keyasint,omitempty"` // credentials that were on a list before
}

func (r *siteRecord) enrolled() bool { return r != nil && len(r.InstallerKey) > 0 }

// id names the site where people or devices must tell sites apart.
func (r *siteRecord) id() string {
	sum := cose.Thumbprint(r.Cred)
	return hex.EncodeToString(sum[:8])
}

// deviceRecord is one label and what became of it. A record is never changed
// once it is shared: a change makes a new one.
type deviceRecord struct {
	ID         []byte      `cbor:"1,keyasint"`
	Name       string      `cbor:"2,keyasint,omitempty"`
	Place      string      `cbor:"3,keyasint,omitempty"`
	Model      string      `cbor:"4,keyasint,omitempty"`
	Address    string      `cbor:"5,keyasint,omitempty"`
	Thumbprint []byte      `cbor:"6,keyasint,omitempty"` // of the label, 16 to 32 bytes; empty: no label was imported
	Secret     cose.Secret `cbor:"7,keyasint,omitempty"` // label secret
	Cred       []byte      `cbor:"8,keyasint,omitempty"` // the device's credential, from its claim
	OwnerKey   cose.Secret `cbor:"9,keyasint,omitempty"` // empty: not claimed by this site
	Registered bool        `cbor:"10,keyasint,omitempty"`
	Groups     []place     `cbor:"11,keyasint,omitempty"`
	Handover   *handover   `cbor:"12,keyasint,omitempty"` // spent, on its way to the device
	Found      bool        `cbor:"13,keyasint,omitempty"`
	LastSeen   int64       `cbor:"14,keyasint,omitempty"`
	Step       string      `cbor:"15,keyasint,omitempty"`
	Problem    *Problem    `cbor:"16,keyasint,omitempty"`

	ListRev     uint64 `cbor:"20,keyasint,omitempty"` // which of the site's lists of commissioners it has confirmed
	ListVersion uint64 `cbor:"21,keyasint,omitempty"` // the version of that at the device
}

// place is a device's membership in a group.
type place struct {
	Group    string `cbor:"1,keyasint"`
	SenderID []byte `cbor:"2,keyasint"`

	Why     string `cbor:"3,keyasint,omitempty"` // what the device said is wrong
	Expires uint64 `cbor:"4,keyasint,omitempty"` // when its association ends, seconds since 1970; 0: not asked
	Ended   bool   `cbor:"5,keyasint,omitempty"` // it is no member any more, Why says why
	Mute    bool   `cbor:"6,keyasint,omitempty"` // it would send, but its rights let it answer only
}

// handover is a Join Response with the association of the Group Manager on their
// way to the device. The record stands before the first PUT: from then on the
// browser uses the association no more, repeats this PUT only, and forgets it
// when the device has taken it. DESIGN: the three ways to join.
type handover struct {
	Group    string      `cbor:"1,keyasint"`
	Payload  cose.Secret `cbor:"2,keyasint"` // of the PUT
	SenderID []byte      `cbor:"3,keyasint"`
	Expires  uint64      `cbor:"4,keyasint"` // of the token, seconds since 1970
	Mute     bool        `cbor:"5,keyasint,omitempty"`
}

func (r *deviceRecord) id() string { return hex.EncodeToString(r.ID) }

func (r *deviceRecord) claimed() bool { return len(r.OwnerKey) > 0 }

func (r *deviceRecord) labelKnown() bool { return len(r.Thumbprint) > 0 }

// in is the device's membership in a group, nil where it has none.
func (r *deviceRecord) in(group string) *place {
	if p := r.place(group); p != nil && !p.Ended {
		return p
	}
	return nil
}

// place is what is known of the device in a group, also when it is no member any
// more.
func (r *deviceRecord) place(group string) *place {
	for i := range r.Groups {
		if r.Groups[i].Group == group {
			return &r.Groups[i]
		}
	}
	return nil
}

// mute reports whether the device is in a group where it may only answer.
func (r *deviceRecord) mute(group string) bool {
	p := r.place(group)
	return p != nil && p.Mute
}

// withKID returns the places with another Sender ID in a group.
func (r *deviceRecord) withKID(group string, kid []byte) []place {
	return r.withPlace(place{Group: group, SenderID: kid, Mute: r.mute(group)})
}

// withPlace returns the places with one added or replaced.
func (r *deviceRecord) withPlace(p place) []place {
	return append(r.withoutPlace(p.Group), p)
}

// withoutPlace returns the places without one group.
func (r *deviceRecord) withoutPlace(group string) []place {
	var kept []place
	for _, p := range r.Groups {
		if p.Group != group {
			kept = append(kept, p)
		}
	}
	return kept
}

// matches reports whether cred is the credential of the device's label. Once a
// claim has told the whole credential, nothing but that counts.
func (r *deviceRecord) matches(cred []byte) bool {
	if len(r.Cred) > 0 {
		return string(r.Cred) == string(cred)
	}
	return label.Label{Thumbprint: r.Thumbprint}.Matches(cred)
}

func (r *deviceRecord) address() netip.AddrPort {
	a, _ := netip.ParseAddrPort(r.Address)
	return a
}

// groupRecord is what outlives a reload of a group's state in the view.
type groupRecord struct {
	Title    string    `cbor:"1,keyasint,omitempty"`
	KeysFrom int64     `cbor:"2,keyasint,omitempty"`
	Light    *Light    `cbor:"3,keyasint,omitempty"`
	RollCall *RollCall `cbor:"4,keyasint,omitempty"`

	Paused bool          `cbor:"5,keyasint,omitempty"`
	Ended  MembershipEnd `cbor:"6,keyasint,omitempty"`

	Alarm *alarmRecord `cbor:"7,keyasint,omitempty"` // nil: everybody has confirmed the latest, or nobody is asked any more
}

// memberRecord is the browser's own membership. The Sender Sequence Numbers go
// with mark/NAME, which only ever grows, through all memberships.
type memberRecord struct {
	Membership *join.Membership `cbor:"1,keyasint"`
}

// jobRecord is the head of a job.
type jobRecord struct {
	ID      string   `cbor:"1,keyasint"`
	Kind    string   `cbor:"2,keyasint"`
	Group   string   `cbor:"3,keyasint,omitempty"`
	State   JobState `cbor:"4,keyasint"`
	Started int64    `cbor:"5,keyasint"`
	Ended   int64    `cbor:"6,keyasint,omitempty"`
	Devices []string `cbor:"7,keyasint"` // in the order of the items
}

// itemRecord is one device's part of a job.
type itemRecord struct {
	State   string   `cbor:"1,keyasint"`
	Step    string   `cbor:"2,keyasint,omitempty"`
	Tries   int      `cbor:"3,keyasint,omitempty"`
	Problem *Problem `cbor:"4,keyasint,omitempty"`

	Before uint64 `cbor:"5,keyasint,omitempty"` // of a test: one more than the time of the test before; 0: not begun
}

// errStored says that the store holds something that this version cannot read.
var errStored = errors.New("stored data cannot be read")

// get reads a record; nil when the key is absent.
func get[T any](tx store.Tx, key string) (*T, error) {
	b, err := tx.Get(key)
	if err != nil || b == nil {
		return nil, err
	}
	return decode[T](key, b)
}

func decode[T any](key string, b []byte) (*T, error) {
	v := new(T)
	if err := cbor.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("%w: %s", errStored, key)
	}
	return v, nil
}

// scan reads all records below a prefix.
func scan[T any](tx store.Tx, prefix string, each func(name string, v *T)) error {
	var bad error
	err := tx.Scan(prefix, func(key string, value []byte) bool {
		v, err := decode[T](key, value)
		if err != nil {
			bad = err
			return false
		}
		each(key[len(prefix):], v)
		return true
	})
	return errors.Join(err, bad)
}

// write is one key with what it shall hold; a nil value deletes it.
type write struct {
	key   string
	value any
}

// apply writes all of it in one transaction.
func apply(tx store.Tx, writes []write) error {
	for _, w := range writes {
		if w.value == nil {
			if err := tx.Delete(w.key); err != nil {
				return err
			}
			continue
		}
		b, err := cbor.Marshal(w.value)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", w.key, err)
		}
		if err := tx.Put(w.key, b); err != nil {
			return err
		}
	}
	return nil
}
