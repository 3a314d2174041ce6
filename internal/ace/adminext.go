package ace

import "fmt"

// What follows is this project's own (docs/servers.md): resources below a group
// configuration that show a group's members, evict them and rekey the group.

// MemberInfo is one member of a group as its administrators see it: GET
// /manage/GROUPNAME/members answers with an array of them.
//
//	{ 1: node: tstr, 2: subject: tstr, ? 3: sender_id: bstr, 4: roles: uint, ? 5: actor: tstr,
//	  6: joined: uint, ? 7: num: uint, 8: barred: bool, ? 9: thumbprint: bstr .size 32 }
type MemberInfo struct {
	Node       string  `cbor:"1,keyasint"`
	Subject    string  `cbor:"2,keyasint"`
	SenderID   []byte  `cbor:"3,keyasint,omitzero"` // absent for a monitor
	Roles      Role    `cbor:"4,keyasint"`
	Actor      string  `cbor:"5,keyasint,omitempty"` // who obtained its latest association; absent: itself
	Joined     uint64  `cbor:"6,keyasint"`           // seconds since 1970
	Num        *uint64 `cbor:"7,keyasint,omitempty"` // the version of the keys that it is known to have
	Barred     bool    `cbor:"8,keyasint"`           // it gets no keys until somebody else renews its association
	Thumbprint []byte  `cbor:"9,keyasint,omitzero"`  // of its credential; absent for a monitor and who has to bring another
}

// MembersPage is how many members one answer lists at most; ?after=NODENAME gives
// those that follow in the order of the names' bytes.
const MembersPage = 256

// MembersResponse is the answer to GET /manage/GROUPNAME/members.
type MembersResponse []MemberInfo

func (r *MembersResponse) check() error {
	for _, m := range *r {
		if m.Node == "" || len(m.Thumbprint) != 0 && len(m.Thumbprint) != 32 {
			return fmt.Errorf("%w: a member without a node name, or a thumbprint of %d bytes", ErrDecode, len(m.Thumbprint))
		}
	}
	return nil
}

// EvictRequest is the payload of POST /manage/GROUPNAME/evict.
//
//	{ 1: [ + node: tstr ], ? 2: preview: bool }
type EvictRequest struct {
	Nodes   []string `cbor:"1,keyasint"`
	Preview bool     `cbor:"2,keyasint,omitempty"` // only say what would happen
}

func (r *EvictRequest) check() error {
	if len(r.Nodes) == 0 {
		return fmt.Errorf("%w: nobody to evict", ErrDecode)
	}
	return nil
}

// RekeyRequest is the payload of POST /manage/GROUPNAME/rekey.
//
//	{ ? 1: preview: bool }
type RekeyRequest struct {
	Preview bool `cbor:"1,keyasint,omitempty"`
}

// RekeyPreview says what an eviction or a rekeying would do.
//
//	{ 1: evicted: [ * tstr ], 2: stale: [ * bstr ], 3: keys: [ * tstr ], 4: barred: [ * tstr ],
//	  5: asking: [ * tstr ], 6: to_many: bool, 7: posts: uint, 8: notices: uint, 9: multicasts: uint }
type RekeyPreview struct {
	Evicted    []string `cbor:"1,keyasint"` // node names
	Stale      [][]byte `cbor:"2,keyasint"` // Sender IDs that become stale
	Keys       []string `cbor:"3,keyasint"` // who gets new keys, those who ask among them
	Barred     []string `cbor:"4,keyasint"` // who gets none
	Asking     []string `cbor:"5,keyasint"` // who is told by nobody and will have to ask
	ToMany     bool     `cbor:"6,keyasint"` // one message goes to many
	Posts      uint     `cbor:"7,keyasint"` // messages to members' own resources
	Notices    uint     `cbor:"8,keyasint"` // notifications to members that observe the group
	Multicasts uint     `cbor:"9,keyasint"` // messages to the group address, with their repetitions
}

// RekeyProgress says how far the latest rekeying of a group is: GET
// /manage/GROUPNAME/rekey, which can be observed.
//
//	{ 1: reason: tstr, 2: num: uint, ? 3: started: uint, ? 4: ended: uint, 5: total: uint, 6: told: uint,
//	  7: confirmed: uint, 8: failed: [ * tstr ], 9: barred: uint, 10: asking: uint }
type RekeyProgress struct {
	Reason    string   `cbor:"1,keyasint"`
	Num       uint64   `cbor:"2,keyasint"`           // the version of the keys that it brings
	Started   uint64   `cbor:"3,keyasint,omitempty"` // milliseconds since 1970; absent: the group was never rekeyed
	Ended     uint64   `cbor:"4,keyasint,omitempty"` // absent: it goes on
	Total     uint     `cbor:"5,keyasint"`           // members
	Told      uint     `cbor:"6,keyasint"`           // were told and have not confirmed it
	Confirmed uint     `cbor:"7,keyasint"`           // have the keys
	Failed    []string `cbor:"8,keyasint"`           // node names of who could not be told
	Barred    uint     `cbor:"9,keyasint"`           // get no keys
	Asking    uint     `cbor:"10,keyasint"`          // find out by asking
}

// Done reports whether there is nothing more to come of it.
func (p *RekeyProgress) Done() bool { return p.Started == 0 || p.Ended != 0 }
